"""A figure of a model as the ratio of two sums over units: documents, rows, pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS_PER_BYTE = "bits_per_byte"
ROLLING_BITS_PER_BYTE = "rolling_bits_per_byte"  # as lm-eval's loglikelihood_rolling counts
COMPLETION_LOSS = "completion_loss"
PREFERENCE_ACCURACY = "preference_accuracy"
CHOSEN_LOGPROB = "chosen_logprob"
GENERATED_TOKENS = "generated_tokens"
GRADE = "grade"  # a judge's, from 1 to 10
VERBATIM_TEXT = "verbatim_text"  # share of what is said that stands in pages trained on
VERBATIM_ANSWERS = "verbatim_answers"  # and in answers tuned on


@dataclass(frozen=True)
class Measure:
    """sum(numerators) / sum(denominators); a plain mean where the denominators are ones.

    Attributes:
        ids: of the units, so that two models can be compared unit by unit.
        numerators, denominators: float64 (units,).
    """

    metric: str
    ids: tuple[str, ...]
    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]

    @property
    def value(self) -> float:
        return float(self.numerators.sum() / self.denominators.sum())

    @property
    def is_of_verdicts(self) -> bool:
        """Whether every unit is one yes or no."""
        verdicts = np.isin(self.numerators, (0.0, 1.0)).all()
        return bool(verdicts and (self.denominators == 1.0).all())

    def on(self, ids: tuple[str, ...]) -> Measure:
        """The same on some of its units, in that order."""
        places = {unit: place for place, unit in enumerate(self.ids)}
        chosen = [places[unit] for unit in ids]
        return Measure(self.metric, ids, self.numerators[chosen], self.denominators[chosen])


def mean(metric: str, ids: tuple[str, ...], values: NDArray[np.float64]) -> Measure:
    """The mean of one value a unit."""
    return Measure(metric, ids, values, np.ones(len(values)))
