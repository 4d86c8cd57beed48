"""What `mix` shows: the weights, how far they can be trusted, and every mixture that was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Curve, Panel, Table


def in_words(facts: Mapping[str, Any]) -> str:
    """What a search came to, in a sentence."""
    before, after = facts["proportional_bits_per_byte"], facts["bits_per_byte"]
    return (
        f"{after:.4f} bits per byte to be expected of the proposed mixture, {before:.4f} of the "
        f"proportional one ({after / before - 1:+.1%}); the law ranks {facts['proxies']} mixtures, "
        f"each left out of its fit, with a correlation of {facts['rank_correlation']:.2f}"
    )


def panels(artifact: Artifact) -> list[Panel]:
    """Weights, trust, the way to the proposal, and what was tried."""
    facts = artifact.facts
    columns = ["source", "weight", "proportional", "epochs", "bits_per_byte"]
    columns += ["proportional_bits_per_byte", "importance"]
    weights = artifact.data("weights").table().select(columns).to_pylist()
    tried = artifact.data("proxies").table().to_pylist()
    return [
        Table(
            "Weights",
            [name.replace("_", " ") for name in columns],
            [list(row.values()) for row in weights],
            in_words(facts),
        ),
        Table("Trust", ["", "value"], _trust(facts), "Spearman's correlation; 1 = the same order."),
        Curve(
            "From the proportional mixture to the proposed one",
            "share of the way",
            "bits per byte",
            {name: [(x, y) for x, y in points] for name, points in facts["way"].items()},
        ),
        _told_and_measured(tried, {row["source"]: row["importance"] for row in weights}),
        _mixtures(tried, [row["source"] for row in weights], facts["seconds"]),
    ]


def _trust(facts: Mapping[str, Any]) -> list[list[Cell]]:
    rows: list[list[Cell]] = [
        ["rank correlation, mixtures left out of the fit", facts["rank_correlation"]],
        *[[f"the same, {name}", value] for name, value in facts["rank_correlations"].items()],
        ["error of the average, bits per byte", facts["left_out_error"]],
        ["law: log-linear in", facts["law"]],
    ]
    rows += [[f"error a domain, in {kind}", error] for kind, error in facts["errors"].items()]
    rows += [["mixtures", facts["proxies"]], ["parameters", facts["parameters"]]]
    return rows


def _told_and_measured(tried: list[dict[str, Any]], importance: Mapping[str, float]) -> Curve:
    """Mixtures in the order the others tell; where that is right, both lines are one."""
    points: dict[str, tuple[float, float]] = {}
    for row in tried:
        told, measured = points.get(row["proxy"], (0.0, 0.0))
        weight = importance[row["source"]]
        points[row["proxy"]] = (
            told + weight * row["left_out_bits_per_byte"],
            measured + weight * row["bits_per_byte"],
        )
    ends = [min(map(min, points.values())), max(map(max, points.values()))]
    return Curve(
        "Mixtures as the others tell, and as measured",
        "told, bits per byte",
        "measured",
        {"equal": [(end, end) for end in ends], "measured": sorted(points.values())},
    )


def _mixtures(
    tried: list[dict[str, Any]], sources: list[str], seconds: Mapping[str, float]
) -> Table:
    by_proxy: dict[str, dict[str, dict[str, Any]]] = {}
    for row in tried:
        by_proxy.setdefault(row["proxy"], {})[row["source"]] = row
    rows: list[list[Cell]] = [
        [
            name[:16],
            *[own[source]["weight"] for source in sources],
            *[own[source]["bits_per_byte"] for source in sources],
            next(iter(own.values()))["tokens"],
            seconds[name],
        ]
        for name, own in by_proxy.items()
    ]
    columns = ["proxy", *sources, *[f"bits, {source}" for source in sources], "tokens", "seconds"]
    return Table("Mixtures tried", columns, rows[:200])
