"""What `dedup` shows: what was found, the S-curve behind it, close calls, large clusters."""

from __future__ import annotations

import numpy as np

from llm.corpus.dedup.lsh import Banding
from llm.corpus.split import SPLIT_JACCARD
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Curve, Histogram, Panel, Table

_CURVE_POINTS = 101
_CLUSTERS_SHOWN = 20
_PAIRS_SHOWN = 20
_BINS = 20


def panels(artifact: Artifact) -> list[Panel]:
    """What was found, the S-curve behind it, the closest calls and the largest clusters."""
    config, totals = artifact.manifest.config, artifact.manifest.totals
    facts = artifact.facts
    threshold: float = config["threshold"]
    rows: list[list[Cell]] = [["documents in", totals.rows_in]]
    rows += [[f"removed: {reason}", count] for reason, count in sorted(totals.removed.items())]
    rows += [[f"rejected: {reason}", count] for reason, count in sorted(totals.rejected.items())]
    rows += [["kept", totals.kept], ["of these validation", facts["validation_documents"]]]
    rows += [[f"pairs: {rule}", count] for rule, count in sorted(facts["pairs"].items())]
    rows += [[name.replace("_", " "), count] for name, count in facts["search"].items()]
    rows.append(["largest group of the split", facts["largest_split_group"]])
    return [
        Table("Deduplication", ["", "count"], rows),
        _bandings(artifact),
        _s_curve(artifact, threshold),
        _jaccards(artifact, threshold),
        _closest_pairs(artifact),
        _largest_clusters(artifact),
    ]


def _bandings(artifact: Artifact) -> Table:
    rows: list[list[Cell]] = []
    for name, purpose in (("banding", "removal"), ("split_banding", "split")):
        fact = artifact.facts[name]
        rows.append(
            [
                purpose,
                fact["from_jaccard"],
                fact["bands"],
                fact["rows"],
                fact["recall"],
                fact["recall_at_threshold"],
            ]
        )
    return Table(
        "Bands of the signatures",
        ["for", "from Jaccard", "bands", "rows", "recall above", "recall at"],
        rows,
        "Predicted. A pair found by either banding is compared, so actual recall is higher.",
    )


def _s_curve(artifact: Artifact, threshold: float) -> Curve:
    series: dict[str, list[tuple[float, float]]] = {}
    for name, purpose in (("banding", "removal"), ("split_banding", "split")):
        fact = artifact.facts[name]
        banding = Banding(fact["bands"], fact["rows"])
        points = [index / (_CURVE_POINTS - 1) for index in range(_CURVE_POINTS)]
        title = f"{purpose}: {banding.bands} bands of {banding.rows}"
        series[title] = [(jaccard, banding.probability(jaccard)) for jaccard in points]
    series[f"threshold {threshold:g}"] = [(threshold, 0.0), (threshold, 1.0)]
    return Curve("Probability that a pair is compared", "Jaccard index", "probability", series)


def _jaccards(artifact: Artifact, threshold: float) -> Histogram:
    pairs = artifact.data("pairs").table(["jaccard", "rule"])
    values, rules = pairs.column("jaccard").to_numpy(), pairs.column("rule").to_pylist()
    edges = np.linspace(SPLIT_JACCARD, 1.0, _BINS + 1)
    counts: dict[str, list[float]] = {}
    for rule in ("near", "split"):
        chosen = values[np.array([found == rule for found in rules], dtype=np.bool_)]
        counts[rule] = [float(count) for count in np.histogram(chosen, bins=edges)[0]]
    return Histogram(
        "Verified pairs",
        "Jaccard index",
        edges.tolist(),
        counts,
        f"Pairs from {threshold:g} on are duplicates; all shown here share a side of the split.",
    )


def _closest_pairs(artifact: Artifact) -> Table:
    removed = artifact.data("removed").table(["doc_id", "reason", "value", "detail"])
    near = [row for row in removed.to_pylist() if row["reason"] == "near"]
    near.sort(key=lambda row: (row["value"], row["doc_id"]))
    return Table(
        "Borderline cases: removed with the lowest Jaccard index",
        ["removed", "kept instead", "Jaccard"],
        [[row["doc_id"], row["detail"], row["value"]] for row in near[:_PAIRS_SHOWN]],
    )


def _largest_clusters(artifact: Artifact) -> Table:
    clusters = artifact.data("clusters").table(["cluster_id", "size", "kept"])
    found: dict[str, list[int]] = {}  # not by Arrow's `group_by`: that imports pandas
    for cluster, size, kept in zip(*(c.to_pylist() for c in clusters.columns), strict=True):
        if size > 1:
            row = found.setdefault(cluster, [size, 0])
            row[1] += kept
    largest = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    return Table(
        "Largest clusters of duplicates",
        ["cluster", "documents", "kept"],
        [[cluster, *counts] for cluster, counts in largest[:_CLUSTERS_SHOWN]],
        "More than one is kept where members of a cluster are linked only through others.",
    )
