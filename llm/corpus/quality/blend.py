"""A classifier's score and what can be counted in a text, weighed together.

Logistic regression with a ridge penalty (Hoerl and Kennard 1970) over the log-odds that fastText
gives, the metrics of `annotate` and `style`: words say what a text is about, counts whether it is
prose, a list or a menu. What it learns from must be scores of texts that the classifier has not
seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.corpus.quality.style import STYLE, style
from llm.corpus.text_metrics.metrics import BY_LANGUAGE, HEURISTICS, REPETITION, metrics
from llm.corpus.text_metrics.text_counts import NO_LIST, StopWords, text_counts

FILE = "blend.json"
# Of any language: a label need not say which it is in.
_MEASURED = tuple(
    name
    for name in (*HEURISTICS, *REPETITION)
    if name not in BY_LANGUAGE or name == "terminal_punctuation_fraction"
)
FEATURES = (*_MEASURED, *STYLE)
# Far from normal, where shares are not.
_COUNTS = frozenset(name for name, kind in HEURISTICS.items() if pa.types.is_integer(kind))
# Of 192 labels AUC is highest at 30, and flat from 10 to 100; of many it does not matter.
RIDGE = 30.0
_STEPS = 50
_SMALLEST = 1e-6  # a probability that log-odds are taken of
_WIDEST = 5.0  # standard deviations a feature may be from the mean


@dataclass(frozen=True)
class Blend:
    """Weights of the log-odds and then of `FEATURES`, each less its mean and over its scale."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def score(self, scores: Sequence[float], texts: Sequence[str]) -> list[float]:
        """Probability in [0, 1] that each text is a positive.

        Args:
            scores: of the classifier.
            texts: as they are, lines and all.
        """
        return self.of_columns(columns(scores, texts))

    def of_columns(self, made: NDArray[np.float64]) -> list[float]:
        """The same of `columns`."""
        inputs = _standardised(made, np.array(self.means), np.array(self.scales))
        # Summed in one order, so that a text's score does not depend on those beside it.
        odds = (inputs * np.array(self.weights)).sum(axis=1) + self.bias
        found: list[float] = (1 / (1 + np.exp(-odds))).tolist()
        return found


def columns(scores: Sequence[float], texts: Sequence[str]) -> NDArray[np.float64]:
    """float64 (texts, 1 + features): the score's log-odds, then the features."""
    counts = text_counts(pa.array(texts, pa.string()), StopWords((), ()), [NO_LIST] * len(texts))
    nothing = np.full(len(texts), np.nan)
    measured = metrics(counts, nothing, np.ones(len(texts), dtype=np.bool_))
    probability = np.clip(np.array(scores, dtype=np.float64), _SMALLEST, 1 - _SMALLEST)
    found = [np.log(probability / (1 - probability))]
    for name in _MEASURED:
        values = measured[name].to_numpy().astype(np.float64)
        found.append(np.log1p(values) if name in _COUNTS else values)
    return np.column_stack([*found, style(texts)])


def fit(made: NDArray[np.float64], labels: Sequence[bool]) -> Blend:
    """The weights that fit best, by Newton's method.

    Args:
        made: float64 (texts, 1 + features), of `columns`; scores of texts the classifier has not
            seen.
    """
    means, scales = made.mean(axis=0), made.std(axis=0)
    scales = np.where(scales > 0, scales, 1.0)
    inputs = np.column_stack([_standardised(made, means, scales), np.ones(len(made))])
    wanted = np.array(labels, dtype=np.float64)
    penalty = np.full(inputs.shape[1], RIDGE)
    penalty[-1] = 0.0  # not of the bias
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        given = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (wanted - given) - penalty * weights
        curvature = (inputs * (given * (1 - given))[:, None]).T @ inputs + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    *learned, bias = weights.tolist()
    return Blend(tuple(means.tolist()), tuple(scales.tolist()), tuple(learned), bias)


def _standardised(
    made: NDArray[np.float64], means: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.clip((made - means) / scales, -_WIDEST, _WIDEST)
    return found


def write_blend(blend: Blend, folder: Path) -> None:
    """Write it beside the classifier's model."""
    record = {**asdict(blend), "features": ["log_odds", *FEATURES]}
    (folder / FILE).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_blend(folder: Path) -> Blend | None:
    """What `write_blend` wrote; `None` where nothing is.

    Raises:
        ValueError: it was made of other features than there are.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    record = json.loads(path.read_text())
    if record.pop("features") != ["log_odds", *FEATURES]:
        raise ValueError(f"{path}: made of other features than this version counts")
    lists = {name: tuple(record[name]) for name in ("means", "scales", "weights")}
    return Blend(**lists, bias=record["bias"])
