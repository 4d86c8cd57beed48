"""What `source` shows: what each source gave, what was left out and why, and some pages."""

from __future__ import annotations

import pyarrow.parquet as pq

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Panel, Sample, Samples, Table

_SAMPLES, _SAMPLE_CHARACTERS, _MAX_ROWS = 5, 1500, 200


def panels(artifact: Artifact) -> list[Panel]:
    """What each source gave, why records were left out, under which licences, and some pages."""
    facts, totals = artifact.facts, artifact.manifest.totals
    sources = sorted(name.partition(":")[2] for name in facts if name.startswith("records:"))
    columns = ("records", "pages", "removed", "rejected", "mended", "bytes")
    reasons = [(reason, "removed", count) for reason, count in totals.removed.items()]
    reasons += [(reason, "rejected", count) for reason, count in totals.rejected.items()]
    reasons.sort(key=lambda row: (-row[2], row[0]))
    licences: list[tuple[str, str, int]] = []
    for name, count in facts.items():
        if name.startswith("license:"):
            _, source, terms = name.split(":", 2)
            licences.append((source, terms, int(count)))
    licences.sort(key=lambda row: (row[0], -row[2], row[1]))
    return [
        Table(
            "Sources",
            ("source", *columns),
            [(name, *(facts.get(f"{c}:{name}", 0) for c in columns)) for name in sources],
            note="mended: pages whose record declared fewer bytes than it has; all are kept",
        ),
        Table(
            "Records that are no pages",
            ("reason", "fate", "records"),
            reasons,
            note="removed: sound, but not a page to learn from; rejected: could not be read",
        ),
        Table("Licences", ("source", "license", "pages"), licences[:_MAX_ROWS]),
        Samples("Pages", _samples(artifact)),
    ]


def _samples(artifact: Artifact) -> list[Sample]:
    """Pages spread evenly over the parts of the output."""
    data = artifact.data("pages")
    parts = [part for part in data.parts if part.rows]
    samples = []
    for part in parts[:: max(1, len(parts) // _SAMPLES)][:_SAMPLES]:
        columns = ["url", "source", "content_type", "html", "provenance"]
        with pq.ParquetFile(data.path(part)) as file:
            batch = next(file.iter_batches(batch_size=1, columns=columns))
        row = batch.to_pylist()[0]
        text = row["html"][: 4 * _SAMPLE_CHARACTERS].decode("utf-8", "replace")
        facts = {
            "source": row["source"],
            "content_type": row["content_type"],
            "bytes": len(row["html"]),
            "file": row["provenance"]["file"],
            "license": row["provenance"]["license"],
        }
        samples.append(Sample(row["url"], text[:_SAMPLE_CHARACTERS], facts))
    return samples
