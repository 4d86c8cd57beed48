"""What an experiment came to: what each variant trains on, and its model against the base's."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from llm.evaluation.differences.differences import Difference
from llm.evaluation.measure import BITS_PER_BYTE


@dataclass(frozen=True)
class Gain:
    """One measure of a variant against the base.

    Attributes:
        difference: of the means over seeds.
        by_seed: the change with each seed, in order.
    """

    difference: Difference
    by_seed: tuple[float, ...]

    @property
    def between_seeds(self) -> float | None:
        """Standard deviation of the change between seeds; `None` of a single one."""
        return statistics.stdev(self.by_seed) if len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Worth:
    """A variant, or the base.

    Attributes:
        documents, tokens: that it trains on, once.
        bits_per_byte: mean over seeds, on the common text.
        gains: by bits per byte, then by all else that both were measured by; none of the base.
        same: it is the very model of the base: what was changed changed nothing.
        refused: why a measure could not be compared.
    """

    variant: str
    documents: int
    tokens: int
    bits_per_byte: float
    gains: tuple[Gain, ...] = ()
    same: bool = False
    refused: tuple[str, ...] = ()

    @property
    def gain(self) -> Gain | None:
        """By bits per byte."""
        named = (each for each in self.gains if each.difference.metric == BITS_PER_BYTE)
        return next(named, None)


@dataclass(frozen=True)
class Result:
    """An experiment's end.

    Attributes:
        variants: the first is the base.
        items: documents measured on; `left_out`: others that a variant has trained on.
    """

    name: str
    seeds: tuple[int, ...]
    variants: tuple[Worth, ...]
    items: int
    left_out: int


@dataclass(frozen=True)
class Removal:
    """What a variant does without: one reason of a stage, or ("") all of the stage."""

    stage: str
    reason: str
