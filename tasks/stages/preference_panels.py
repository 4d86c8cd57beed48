"""What stages that learn from pairs of answers show of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from llm.tables import SPLITS
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Histogram, Sample, Samples
from tasks.stages.alignment import SAMPLES_SHOWN

_BINS = 20


def margin_histogram(pairs: pa.Table, title: str, label: str, note: str) -> Histogram:
    """The column `margin` of pairs, by split; `label` is that of the axis."""
    margin, split = pairs.column("margin").to_numpy(), np.array(pairs.column("split").to_pylist())
    edges = np.histogram_bin_edges(margin, bins=_BINS)
    counts = {
        name: [float(n) for n in np.histogram(margin[split == name], bins=edges)[0]]
        for name in SPLITS
        if (split == name).any()
    }
    return Histogram(title, label, edges.tolist(), counts, note)


def extreme_pairs(artifact: Artifact, pairs: pa.Table, facts: Sequence[str], title: str) -> Samples:
    """The pairs with the lowest and with the highest margin, as the model saw them.

    Args:
        facts: columns of `pairs` shown with each.
    """
    order = np.argsort(pairs.column("margin").to_numpy(), kind="stable")
    ends = [*order[: SAMPLES_SHOWN // 2], *order[::-1][: SAMPLES_SHOWN // 2]]
    chosen = list(dict.fromkeys(int(row) for row in ends))
    examples = artifact.data("examples").table(["prompt", "chosen", "rejected"]).take(chosen)
    items = [
        Sample(
            pair["doc_id"],
            f"{row['prompt']}{row['chosen']}\n\nrejected:\n{row['rejected']}",
            {name: pair[name] for name in facts},
        )
        for row, pair in zip(examples.to_pylist(), pairs.take(chosen).to_pylist(), strict=True)
    ]
    return Samples(title, items)
