"""Which rows make up a batch: a pure function of seed, data and step.

Nothing is remembered between steps, so a resumed run, a run with other micro-batches or with more
processes sees exactly the batches of an undisturbed one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError
from llm.tokens.token_file import TokenFile
from llm.training.mixture import Mixture, MixtureError, Phase
from llm.training.run_file import Optimisation


class NoSequencesError(ExpectedError, ValueError):
    """There is nothing to make batches of."""


class Batches:
    """Batches of row numbers; every epoch has all rows once, in an order of its own.

    Args:
        rows: how many there are.
        batch_rows: a batch; may exceed `rows`.
        seed: of the orders (Philox, keyed by seed and epoch).

    Raises:
        NoSequencesError: `rows` is 0.
    """

    def __init__(self, rows: int, batch_rows: int, seed: int) -> None:
        if rows < 1:
            raise NoSequencesError("there are no training sequences; look at the pack stage")
        self._rows, self._batch_rows = rows, batch_rows
        self._orders = _Orders(rows, seed)

    def indices(self, step: int) -> NDArray[np.int64]:
        """int64 (batch_rows,): the rows of a step, counted from 0."""
        places = np.arange(step * self._batch_rows, (step + 1) * self._batch_rows)
        return self._orders.at(places)

    def epochs(self, steps: int) -> float:
        """How often the first `steps` steps go through all rows."""
        return steps * self._batch_rows / self._rows

    def given(self, steps: int) -> dict[str, tuple[int, float]]:
        """By source: rows in the first `steps` steps, and how often those go through it. Empty
        where sources are not told apart."""
        return {}

    def describe(self, steps: int) -> str:
        """How often the first `steps` steps go through the rows, and through each source."""
        epochs = [f"{name} {times:.2f}" for name, (_, times) in self.given(steps).items()]
        return f"{self.epochs(steps):.2f} epochs" + (f" ({', '.join(epochs)})" if epochs else "")

    def used_up(self) -> list[tuple[int, str]]:
        """(step, source) for each that is left out from a step on, having reached its limit."""
        return []


class MixedBatches(Batches):
    """Batches in which sources have the shares of a mixture, less than a row apart.

    Every epoch of a source has all its rows once, in an order of its own, which is no other
    source's affair: with other weights its rows come sooner or later, in the same order.

    Args:
        sources: the rows of each source, which lie behind one another.
        batch_rows: a batch; may exceed the rows there are.
        seed: of the orders (Philox, keyed by seed, source and epoch).
        phases: what sources give; the last one ends where the run does.
        sequence_length: tokens of a row, for messages.

    Raises:
        NoSequencesError: there are no rows.
        MixtureError: the rows are not told apart by source, a source has none, or all are used up
            before the end of the run.
    """

    def __init__(
        self,
        sources: Mapping[str, range],
        batch_rows: int,
        seed: int,
        phases: Sequence[Phase],
        sequence_length: int,
    ) -> None:
        if not sources:
            raise MixtureError(
                "pretrain.mixture needs rows that are of one source each, and these do not say "
                "which they are of; set pack.by_source=true"
            )
        rows = {name: len(span) for name, span in sources.items()}
        super().__init__(sum(rows.values()), batch_rows, seed)
        self._mixture = Mixture(rows, phases, batch_rows, sequence_length)
        spans = [sources[name] for name in self._mixture.names]
        self._starts = np.array([span.start for span in spans])
        self._by_source = [
            _Orders(len(span), seed, name)
            for name, span in zip(self._mixture.names, spans, strict=True)
        ]

    def indices(self, step: int) -> NDArray[np.int64]:
        """int64 (batch_rows,): the rows of a step, counted from 0."""
        start = step * self._batch_rows
        source, nth = self._mixture.at(start, start + self._batch_rows)
        rows = self._starts[source]
        for each in np.unique(source):
            rows[source == each] += self._by_source[each].at(nth[source == each])
        return rows

    def given(self, steps: int) -> dict[str, tuple[int, float]]:
        """By source: rows in the first `steps` steps, and how often those go through it."""
        taken = self._mixture.given(steps * self._batch_rows)
        orders = zip(taken.items(), self._by_source, strict=True)
        return {name: (rows, rows / max(1, order.rows)) for (name, rows), order in orders}

    def used_up(self) -> list[tuple[int, str]]:
        """(step, source) for each that is left out from a step on, having reached its limit."""
        return list(self._mixture.used_up())


def batches_of(tokens: TokenFile, o: Optimisation, phases: Sequence[Phase]) -> Batches:
    """Those of a run: of all rows in one shuffled order, or of a mixture.

    Raises:
        NoSequencesError, MixtureError: see `MixedBatches`.
    """
    if not phases:
        return Batches(len(tokens.train), o.batch_rows, o.seed)
    return MixedBatches(tokens.sources, o.batch_rows, o.seed, phases, tokens.sequence_length)


class _Orders:
    """The order that rows have in each epoch.

    Args:
        name: of whose rows they are; another one has other orders.
    """

    def __init__(self, rows: int, seed: int, name: str = "") -> None:
        self.rows, self._seed = rows, seed
        digest = hashlib.sha256(name.encode()).digest()
        # The highest of four words, which counting never reaches: streams that do not overlap.
        self._counter = [0, 0, 0, int.from_bytes(digest[:8]) if name else 0]
        self._order = lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        key = np.array([self._seed, epoch], dtype=np.uint64)
        counter = np.array(self._counter, dtype=np.uint64)
        philox = np.random.Philox(key=key, counter=counter)
        return np.random.Generator(philox).permutation(self.rows)

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows at these places, which count on over epochs and do not decrease."""
        epochs, within = np.divmod(places, self.rows)
        return np.concatenate(
            [self._order(int(epoch))[within[epochs == epoch]] for epoch in np.unique(epochs)]
        )
