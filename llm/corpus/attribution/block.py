"""A block of an index, mapped into memory and searched."""

from __future__ import annotations

import ctypes
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm.c_library import compiled
from llm.corpus.attribution.block_file import (
    END,
    HEADER,
    MAGIC,
    STARTS,
    SUFFIXES,
    TEXT,
    BadBlockError,
)

_SOURCE = Path(__file__).with_name("lookup.c")


class _Block(ctypes.Structure):
    _fields_ = (
        ("text", ctypes.c_void_p),
        ("pointers", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


@dataclass(frozen=True)
class Passage:
    """A place in a document.

    Attributes:
        document: number of the document in its part, as `write_blocks` counted them.
        start, end: bytes of the place in the document's text.
        before, found, after: its text, and some around.
    """

    document: int
    start: int
    end: int
    before: str
    found: str
    after: str


class Block:
    """Searches one block; all places and lengths are bytes.

    Args:
        stem: path of its files without their endings.
        python: search without C, some twenty times as slow.

    Raises:
        BadBlockError: the files are not there, damaged, or of another format.
    """

    def __init__(self, stem: Path, python: bool = False) -> None:
        self.stem = stem
        try:
            header = np.fromfile(f"{stem}{SUFFIXES}", HEADER, 1)
            self._text = np.memmap(f"{stem}{TEXT}", np.uint8, "r")
            self._starts = np.fromfile(f"{stem}{STARTS}", "<i8")
            if len(header) != 1 or header["magic"][0] != MAGIC:
                raise ValueError("another format")
            self.count, self._width = int(header["count"][0]), int(header["width"][0])
            self.first = int(header["first"][0])
            pointers = np.memmap(f"{stem}{SUFFIXES}", np.uint8, "r")[HEADER.itemsize :]
            if len(pointers) != self.count * self._width or self._text[-1] != END:
                raise ValueError("cut off")
        except (OSError, ValueError) as error:
            raise BadBlockError(
                f"{stem}: no block of an index ({error}); build it again"
            ) from error
        self._pointers = pointers
        self._library = None if python else library()
        self._c = _Block(
            self._text.ctypes.data, self._pointers.ctypes.data, self.count, self._width
        )

    @property
    def size(self) -> int:
        """Bytes of its texts."""
        return len(self._text) - len(self._starts)

    def longest(self, query: bytes, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 (starts,): length of the longest beginning of query[start:] in the texts."""
        starts = np.ascontiguousarray(starts, np.int64)
        if self._library is None:
            return np.array([self._longest(query[start:]) for start in starts.tolist()], np.int64)
        found = np.zeros(len(starts), np.int64)
        self._library.longest(
            ctypes.byref(self._c),
            query,
            ctypes.c_int64(len(query)),
            ctypes.c_void_p(starts.ctypes.data),
            ctypes.c_int64(len(starts)),
            ctypes.c_void_p(found.ctypes.data),
        )
        return found

    def ranks(self, pattern: bytes) -> range:
        """The ranks of the suffixes that begin with the pattern."""
        if self._library is None:
            every = range(self.count)

            def key(rank: int) -> bytes:
                return self._from(rank, len(pattern))

            first = bisect_left(every, pattern, key=key)
            return range(first, bisect_right(every, pattern, lo=first, key=key))
        ends = [
            self._library.rank_of(
                ctypes.byref(self._c),
                pattern,
                ctypes.c_int64(len(pattern)),
                ctypes.c_int64(behind),
            )
            for behind in (False, True)
        ]
        return range(*ends)

    def passage(self, rank: int, length: int, around: int) -> Passage:
        """The place of a suffix.

        Args:
            length: bytes of what is found there.
            around: bytes of text before and behind it, at most.
        """
        place = self._place(rank)
        row = int(np.searchsorted(self._starts, place, side="right")) - 1
        first = int(self._starts[row])
        behind = int(self._starts[row + 1]) if row + 1 < len(self._starts) else len(self._text)
        last = behind - 1
        end = place + length
        pieces = (
            (max(first, place - around), place),
            (place, end),
            (end, min(last, end + around)),
        )
        # What is cut through a character loses it.
        before, found, after = (
            self._text[begin:stop].tobytes().decode("utf-8", "ignore") for begin, stop in pieces
        )
        return Passage(self.first + row, place - first, end - first, before, found, after)

    def documents(self, ranks: range) -> NDArray[np.int64]:
        """int64, ascending: numbers of the documents in which suffixes of these ranks stand."""
        narrow = self._pointers[ranks.start * self._width : ranks.stop * self._width]
        wide = np.zeros((len(ranks), 4), np.uint8)
        wide[:, : self._width] = narrow.reshape(-1, self._width)
        places = wide.view("<u4").ravel()
        found: NDArray[np.int64] = np.unique(np.searchsorted(self._starts, places, side="right"))
        return found - 1 + self.first

    def texts(self) -> Iterator[bytes]:
        """Its documents, in order."""
        stops = np.append(self._starts[1:], len(self._text))
        for start, stop in zip(self._starts.tolist(), stops.tolist(), strict=True):
            yield self._text[start : stop - 1].tobytes()

    def _place(self, rank: int) -> int:
        at = rank * self._width
        return int.from_bytes(self._pointers[at : at + self._width].tobytes(), "little")

    def _from(self, rank: int, size: int) -> bytes:
        place = self._place(rank)
        return self._text[place : place + size].tobytes()

    def _longest(self, query: bytes) -> int:
        at = bisect_left(range(self.count), query, key=lambda rank: self._from(rank, len(query)))
        near = [rank for rank in (at - 1, at) if 0 <= rank < self.count]
        return max((_common(self._from(rank, len(query)), query) for rank in near), default=0)


@cache
def library() -> ctypes.CDLL | None:
    """`lookup.c`, compiled; none where nothing can be."""
    found = compiled(_SOURCE, ["-O2"], "looking up where a text stands takes twenty times as long")
    if found is not None:
        found.longest.restype = None
        found.rank_of.restype = ctypes.c_int64
    return found


def _common(left: bytes, right: bytes) -> int:
    if right.startswith(left) or left.startswith(right):
        return min(len(left), len(right))
    return next(
        place for place, (one, other) in enumerate(zip(left, right, strict=False)) if one != other
    )
