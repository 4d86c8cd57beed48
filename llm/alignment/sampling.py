"""The order in which a trainer takes its rows: random, with rows of like length in one batch.

A batch is as wide as its longest row. Drawn at random, rows of unequal length leave a third of a
batch to padding that is computed and thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

# Batches whose rows are sorted together: enough for like lengths, few enough to stay random.
_TOGETHER = 32


class LengthGrouped(Sampler[int]):
    """Every row once an epoch; the order is a function of seed and epoch alone.

    Args:
        lengths: of the rows, in tokens.
        batch_size: rows of a step.
    """

    def __init__(self, lengths: Sequence[int] | NDArray[Any], batch_size: int, seed: int) -> None:
        super().__init__()
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._batch_size, self._seed, self._epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer says which epoch comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        key = np.array([self._seed, self._epoch], dtype=np.uint64)
        random = np.random.Generator(np.random.Philox(key=key))
        order = random.permutation(len(self._lengths))
        size = self._batch_size * _TOGETHER
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
            batches += [
                rows[at : at + self._batch_size] for at in range(0, len(rows), self._batch_size)
            ]
        # The trainer cuts the sequence into batches anew, so one that is not full comes last.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for place in random.permutation(len(full)):
            yield from full[place].tolist()
        for batch in rest:
            yield from batch.tolist()


class BatchOrder(Sampler[int]):
    """Rows that stand in their batches already: an epoch takes the batches in an order that is a
    function of seed and epoch alone; one that is not full comes last.

    Args:
        rows: there are; batch_size: rows of a step.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        super().__init__()
        self._rows, self._batch_size, self._seed, self._epoch = rows, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer says which epoch comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        key = np.array([self._seed, self._epoch], dtype=np.uint64)
        full = self._rows // self._batch_size
        for place in np.random.Generator(np.random.Philox(key=key)).permutation(full).tolist():
            yield from range(place * self._batch_size, (place + 1) * self._batch_size)
        yield from range(full * self._batch_size, self._rows)


class PromptOrder(Sampler[int]):
    """The order in which a trainer of TRL that draws answers takes its prompts; what does not fill
    a step is left out of an epoch.

    TRL's own is drawn further from epoch to epoch, so that a run resumed in a later one would meet
    other prompts. This one is a function of seed and epoch alone.

    Args:
        rows: prompts there are.
        samples: answers to a prompt, which stand side by side.
        batch_size: answers of a step.
        repeats: how often the trainer asks for each step's prompts: once a micro-batch.
    """

    def __init__(self, rows: int, samples: int, batch_size: int, repeats: int, seed: int) -> None:
        super().__init__()
        self._rows, self._samples, self._repeats = rows, samples, repeats
        self._prompts, self._seed, self._epoch = batch_size // samples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer says which epoch comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows // self._prompts * self._prompts * self._samples * self._repeats

    def __iter__(self) -> Iterator[int]:
        key = np.array([self._seed, self._epoch], dtype=np.uint64)
        order = np.random.Generator(np.random.Philox(key=key)).permutation(self._rows)
        for start in range(0, self._rows - self._prompts + 1, self._prompts):
            step = np.repeat(order[start : start + self._prompts], self._samples).tolist()
            for _ in range(self._repeats):
                yield from step
