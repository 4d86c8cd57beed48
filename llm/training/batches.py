"""Which rows make up a batch: a pure function of seed and step.

Nothing is remembered between steps, so a resumed run, a run with other micro-batches or with more
processes sees exactly the batches of an undisturbed one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError


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
        self._rows, self._batch_rows, self._seed = rows, batch_rows, seed
        self._order = lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        key = np.array([self._seed, epoch], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(self._rows)

    def indices(self, step: int) -> NDArray[np.int64]:
        """int64 (batch_rows,): the rows of a step, counted from 0."""
        places = np.arange(step * self._batch_rows, (step + 1) * self._batch_rows)
        epochs, within = np.divmod(places, self._rows)
        return np.concatenate(
            [self._order(int(epoch))[within[epochs == epoch]] for epoch in np.unique(epochs)]
        )

    def epochs(self, steps: int) -> float:
        """How often the first `steps` steps go through all rows."""
        return steps * self._batch_rows / self._rows
