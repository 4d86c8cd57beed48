"""How many shingles pairs of texts share, remembered from one search to the next.

What two texts share hangs on nothing but them, so a search over a corpus that has grown need not
read and compare again what an earlier one has. The file holds the pairs of the last search, by the
digests of their texts; it decides nothing, and may be deleted or lost at any time.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

_DIGEST = 32  # hex characters of a text's digest
_ROW = np.dtype([("pair", f"S{2 * _DIGEST}"), ("shared", "<i8")])
_CHECKSUM = 8  # bytes


class KnownOverlaps:
    """Of pairs of nodes how many shingles they share, as far as that is known.

    Args:
        path: where it is kept; a file that is not whole counts as none.
        digests: `(nodes,)` bytes (dtype S32): the digest of each node's text.
    """

    def __init__(self, path: Path, digests: npt.NDArray[np.bytes_]) -> None:
        self._path, self._digests = path, digests
        self._known = _read(path)

    def shared(self, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Shingles that both have, of each pair; -1 where it is not known."""
        found = np.full(len(pairs), -1, dtype=np.int64)
        if len(self._known) and len(pairs):
            wanted, names = self._names(pairs), self._known["pair"]
            places = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
            hits = names[places] == wanted
            found[hits] = self._known["shared"][places[hits]]
        return found

    def keep(self, pairs: npt.NDArray[np.int64], shared: npt.NDArray[np.int64]) -> None:
        """Remember these pairs, and no others."""
        rows = np.empty(len(pairs), dtype=_ROW)
        rows["pair"], rows["shared"] = self._names(pairs), shared
        raw = np.sort(rows, order="pair").tobytes()
        written = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        written.write_bytes(xxhash.xxh3_64_digest(raw) + raw)
        written.replace(self._path)

    def _names(self, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.bytes_]:
        """Both digests of each pair, the smaller first."""
        one, other = self._digests[pairs[:, 0]], self._digests[pairs[:, 1]]
        swapped = one > other
        both = np.stack([np.where(swapped, other, one), np.where(swapped, one, other)], axis=1)
        names: npt.NDArray[np.bytes_] = both.astype(f"S{_DIGEST}").view(_ROW["pair"]).ravel()
        return names


def _read(path: Path) -> npt.NDArray[np.void]:
    raw = path.read_bytes() if path.exists() else b""
    rows = raw[_CHECKSUM:]
    if len(rows) % _ROW.itemsize or xxhash.xxh3_64_digest(rows) != raw[:_CHECKSUM]:
        rows = b""
    return np.frombuffer(rows, dtype=_ROW)
