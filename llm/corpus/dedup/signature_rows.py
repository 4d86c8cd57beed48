"""Signatures of many documents, in a file of their own while they are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt


class SignatureRows:
    """Some rows of a matrix of signatures, in an order of their own; the matrix may be a file that
    is mapped, so that only what is looked at is in memory.

    Args:
        matrix: `(documents, num_perm)` uint32.
        places: `(rows,)` rows of it.
    """

    def __init__(self, matrix: npt.NDArray[np.uint32], places: npt.NDArray[np.int64]) -> None:
        self._matrix, self._places = matrix, places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def num_perm(self) -> int:
        """Values a signature."""
        return int(self._matrix.shape[1])

    def __getitem__(self, rows: npt.NDArray[np.int64] | int) -> npt.NDArray[np.uint32]:
        """`(len(rows), num_perm)`, or `(num_perm,)` of one row."""
        return np.asarray(self._matrix[self._places[rows]])

    def chosen(self, rows: npt.NDArray[np.int64]) -> SignatureRows:
        """Those rows of these."""
        return SignatureRows(self._matrix, self._places[rows])


def map_signatures(path: Path, num_perm: int) -> npt.NDArray[np.uint32]:
    """What `path` holds, `(documents, num_perm)`; as long as it is used, the file must stay."""
    if not path.stat().st_size:
        return np.empty((0, num_perm), dtype=np.uint32)
    return np.memmap(path, dtype="<u4", mode="r").reshape(-1, num_perm)
