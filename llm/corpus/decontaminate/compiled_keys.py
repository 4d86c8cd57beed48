"""`word_keys.c`: keys of words, marked characters and seeds, some five times as fast as NumPy.

None of it decides anything: where nothing can be compiled, NumPy gives the same numbers.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm.c_library import compiled

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Codes = npt.NDArray[np.unsignedinteger[Any]]

_SOURCE = Path(__file__).with_name("word_keys.c")


# Of the table's bits at most one in this many is set, or so.
_SPARSE = 16


@dataclass(frozen=True)
class KnownSeeds:
    """Keys in order, and what makes it quick to say whether one is among them.

    Attributes:
        keys: `(seeds,)`.
        bits: eight a byte; that of the highest bits of each key is set.
        shift: by how much to shift a key for its bit.
        first: where in `keys` those begin whose highest bits are a number, or higher.
        first_shift: by how much to shift a key for that number.
    """

    keys: Keys
    bits: npt.NDArray[np.uint8]
    shift: np.uint64
    first: npt.NDArray[np.int32]
    first_shift: int

    @classmethod
    def of(cls, keys: Keys) -> KnownSeeds:
        """Of keys in order, each once."""
        size = max(10, (len(keys) * _SPARSE).bit_length())
        shift = np.uint64(64 - size)
        places = keys >> shift
        bits = np.zeros(1 << (size - 3), dtype=np.uint8)
        values = np.left_shift(1, places & np.uint64(7)).astype(np.uint8)
        np.bitwise_or.at(bits, places >> np.uint64(3), values)
        # As many numbers as keys, or so: of a number there are one or two.
        first_size = max(1, len(keys).bit_length())
        first_shift = 64 - first_size
        numbers = np.arange(1 << first_size, dtype=np.uint64) << np.uint64(first_shift)
        first = np.searchsorted(keys, numbers).astype(np.int32)
        return cls(np.ascontiguousarray(keys), bits, shift, first, first_shift)


class KeysKernel:
    """The compiled functions; each may be called by several threads at once."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._keys, self._marked = library.keys_of_units, library.marked_units
        self._keys.argtypes = [pointer, number, pointer, ctypes.c_uint64, number, pointer, pointer]
        self._marked.argtypes = [pointer, number, pointer, pointer]
        self._seeds = library.seeds
        tables = (pointer, number) * 3
        self._seeds.argtypes = [pointer, number, number, *tables, pointer, pointer]
        self._keys.restype = self._marked.restype = self._seeds.restype = number

    def keys(
        self, codes: Codes, values: Keys, skipped: np.uint64, longest: int
    ) -> tuple[Keys, Places]:
        """Keys of words, and where they begin.

        Args:
            codes: of two bytes.
            values: of every code unit there may be: 0 of those outside of words, `skipped` of
                those that no word is cut at and none has.
            longest: of a longer word so many code units count.
        """
        codes = np.ascontiguousarray(codes)
        most = (len(codes) + 1) // 2
        keys, starts = np.empty(most, np.uint64), np.empty(most, np.int64)
        count = self._keys(
            codes.ctypes.data,
            len(codes),
            values.ctypes.data,
            int(skipped),
            longest,
            keys.ctypes.data,
            starts.ctypes.data,
        )
        return keys[:count], starts[:count]

    def marked(self, codes: Codes, kinds: npt.NDArray[np.uint8]) -> Places:
        """Where code units, of two bytes, are of a kind other than 0."""
        codes = np.ascontiguousarray(codes)
        places = np.empty(len(codes), np.int64)
        count = self._marked(codes.ctypes.data, len(codes), kinds.ctypes.data, places.ctypes.data)
        return places[:count]

    def seeds(self, keys: Keys, size: int, known: KnownSeeds) -> tuple[Places, Keys]:
        """Where runs of `size` words begin that are seeds, and the seeds' keys."""
        keys = np.ascontiguousarray(keys)
        most = max(0, len(keys) - size + 1)
        places, found = np.empty(most, np.int64), np.empty(most, np.uint64)
        count = self._seeds(
            keys.ctypes.data,
            len(keys),
            size,
            known.bits.ctypes.data,
            int(known.shift),
            known.keys.ctypes.data,
            len(known.keys),
            known.first.ctypes.data,
            known.first_shift,
            places.ctypes.data,
            found.ctypes.data,
        )
        return places[:count], found[:count]


@functools.cache
def keys_kernel() -> KeysKernel | None:
    """The kernel of this process; none where it cannot be had."""
    without = "NumPy looks for evaluation items, some four times slower"
    library = compiled(_SOURCE, ["-O3", "-march=native"], without)
    return KeysKernel(library) if library else None
