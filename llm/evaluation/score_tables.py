"""Scores and samples as tables, and the few figures one looks at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.compression import XZ

BITS_PER_BYTE = "bits_per_byte"
ROLLING_BITS_PER_BYTE = "rolling_bits_per_byte"  # as lm-eval's loglikelihood_rolling counts
CHANGE = "_change"  # behind a metric's name: compared with the model before

SCORES = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("n", pa.int64(), nullable=False),
    ]
)
SAMPLES = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("completion", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Score:
    """A figure of a model."""

    model: str
    metric: str
    estimate: Estimate


def score_table(scores: Sequence[Score]) -> pa.Table:
    """Rows of `SCORES`."""
    rows = [{"model": s.model, "metric": s.metric, **asdict(s.estimate)} for s in scores]
    return pa.Table.from_pylist(rows, schema=SCORES)


def headline(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Bits per byte over those of xz by model, and every change by metric and model."""
    found: dict[str, dict[str, float]] = {}
    by_key = {(score.model, score.metric): score.estimate.value for score in scores}
    xz = by_key.get((XZ, BITS_PER_BYTE))
    for (model, metric), value in by_key.items():
        if metric == BITS_PER_BYTE and xz is not None and model != XZ:
            found.setdefault("bits_per_byte_over_xz", {})[model] = value / xz
        if metric.endswith(CHANGE):
            found.setdefault(metric, {})[model] = value
    return found
