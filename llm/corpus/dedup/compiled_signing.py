"""Signatures and shingle hashes of many texts at once, by `signing.c`.

It gives what `shingles.py` and `minhash.py` define, bit for bit, tens of times as fast. Written in
C, and not for Numba or out of another package's sketches: to compile it takes half a second instead
of several, it needs no LLVM beside PyTorch, and words, hashes and permutations stay those of this
project. Where nothing can be compiled, Python does it; and the first MiB of a process, where
nothing was compiled before.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from llm.c_library import compiled, is_kept
from llm.corpus.dedup.characters import PAGE, PAGES, page
from llm.corpus.dedup.minhash import permutations
from llm.corpus.dedup.shingles import normalise

_SOURCE = Path(__file__).with_name("signing.c")
_FLAGS = ("-O3", "-march=native")
_LANES = 32  # as there
# Python signs so much in the time the compiler takes.
_PAYS_FROM = 1 << 20


class _Texts(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("pages", ctypes.c_void_p),
        ("page_of", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("words", ctypes.c_int64),
        ("normalised", ctypes.c_int64),
        ("left", ctypes.c_void_p),
        ("missing", ctypes.c_int64),
    )


@dataclass(frozen=True)
class _Batch:
    """UTF-8 of texts one behind the other, and where they begin and end, `(texts + 1,)`."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    normalised: bool

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Signed:
    """Of each text what `text_digest` says, how many distinct shingles it has, and its signature,
    `(texts, num_perm)` uint32."""

    digests: list[str]
    shingles: npt.NDArray[np.int64]
    minhash: npt.NDArray[np.uint32]


class Kernel:
    """The compiled functions, and what they know of characters so far; threads take turns."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._sign, self._hash = library.sign_texts, library.hash_texts
        self._sign.argtypes = [pointer, number, pointer, pointer, number, *[pointer] * 4]
        self._hash.argtypes = [pointer, number, pointer, pointer]
        self._sign.restype = self._hash.restype = number
        self._pages = page(0).reshape(1, PAGE)
        self._page_of = np.full(PAGES, -1, dtype=np.int32)
        self._page_of[0] = 0
        self._turn = threading.Lock()  # a page that is added moves the others

    def sign(self, texts: pa.Array, num_perm: int, words: int) -> Signed:
        """Sign texts; memory is a few times their bytes, and some 15 times those of the longest.

        Args:
            texts: strings, none null.
            words: words a shingle.

        Raises:
            UnicodeDecodeError: a text is not UTF-8.
        """
        signed, left = self._signed(_batch(texts), num_perm, words)
        if len(left):
            again, _ = self._signed(_normalised(texts, left), num_perm, words)
            signed.shingles[left], signed.minhash[left] = again.shingles, again.minhash
            for place, digest in zip(left.tolist(), again.digests, strict=True):
                signed.digests[place] = digest
        return signed

    def shingle_hashes(self, texts: pa.Array, words: int) -> list[npt.NDArray[np.uint64]]:
        """Of each text what `shingles.shingle_hashes` gives; arguments and errors as of `sign`."""
        found, left = self._hashed(_batch(texts), words)
        if len(left):
            again, _ = self._hashed(_normalised(texts, left), words)
            for place, hashes in zip(left.tolist(), again, strict=True):
                found[place] = hashes
        return found

    def _signed(
        self, batch: _Batch, num_perm: int, words: int
    ) -> tuple[Signed, npt.NDArray[np.int64]]:
        a, b = _padded(num_perm)
        collapsed = np.empty(2 * len(batch.data) + 1, dtype=np.uint8)
        ends = np.zeros(batch.rows + 1, dtype=np.int64)
        shingles = np.empty(batch.rows, dtype=np.int64)
        minhash = np.empty((batch.rows, len(a)), dtype=np.uint32)
        arrays = [array.ctypes.data for array in (collapsed, ends, shingles, minhash)]
        constants = (a.ctypes.data, b.ctypes.data, len(a))
        left = self._run(
            batch, words, lambda texts, row: self._sign(texts, row, *constants, *arrays)
        )
        text = memoryview(collapsed.data)
        bounds = ends.tolist()
        digests = [
            xxhash.xxh3_128_hexdigest(text[start:end]) for start, end in itertools.pairwise(bounds)
        ]
        return Signed(digests, shingles, minhash[:, :num_perm]), left

    def _hashed(
        self, batch: _Batch, words: int
    ) -> tuple[list[npt.NDArray[np.uint64]], npt.NDArray[np.int64]]:
        hashes = np.empty(len(batch.data) + batch.rows, dtype=np.uint64)
        ends = np.zeros(batch.rows + 1, dtype=np.int64)
        arrays = (hashes.ctypes.data, ends.ctypes.data)
        left = self._run(batch, words, lambda texts, row: self._hash(texts, row, *arrays))
        bounds = ends.tolist()
        return [np.unique(hashes[start:end]) for start, end in itertools.pairwise(bounds)], left

    def _run(
        self, batch: _Batch, words: int, function: Callable[[object, int], int]
    ) -> npt.NDArray[np.int64]:
        """Call a function until it is through all rows; those it has left to Python."""
        left = np.zeros(batch.rows, dtype=np.uint8)
        row = 0
        with self._turn:
            while row < batch.rows:
                texts = _Texts(
                    batch.data.ctypes.data,
                    batch.offsets.ctypes.data,
                    self._pages.ctypes.data,
                    self._page_of.ctypes.data,
                    batch.rows,
                    words,
                    batch.normalised,
                    left.ctypes.data,
                    -1,
                )
                row = function(ctypes.byref(texts), row)
                if row < 0:
                    raise MemoryError("no memory for the words of the longest text")
                if row < batch.rows:
                    self._page_of[texts.missing] = len(self._pages)
                    self._pages = np.concatenate([self._pages, [page(texts.missing)]])
        return np.flatnonzero(left)


@functools.cache
def _padded(num_perm: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Factors and summands of the permutations, zeros behind them up to a multiple of lanes."""
    lanes = np.zeros((2, -(-num_perm // _LANES) * _LANES), dtype=np.uint32)
    lanes[:, :num_perm] = permutations(num_perm)
    return lanes[0].copy(), lanes[1].copy()


def _batch(texts: pa.Array, normalised: bool = False) -> _Batch:
    if not len(texts):
        return _Batch(np.empty(0, dtype=np.uint8), np.zeros(1, dtype=np.int64), normalised)
    large = texts.cast(pa.large_string())
    _, offsets, data = large.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[large.offset :][: len(large) + 1]
    whole = np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)
    return _Batch(whole[bounds[0] : bounds[-1]], bounds - bounds[0], normalised)


def _normalised(texts: pa.Array, places: npt.NDArray[np.int64]) -> _Batch:
    chosen = [normalise(texts[place].as_py()) for place in places.tolist()]
    return _batch(pa.array(chosen, pa.large_string()), normalised=True)


@functools.cache
def kernel() -> Kernel | None:
    """The kernel of this process; none where it cannot be had."""
    if sys.byteorder != "little":  # as the hashes read
        return None
    without = "Python signs documents, some ten times slower"
    library = compiled(_SOURCE, _FLAGS, without)
    return Kernel(library) if library else None


class _Waiting:
    """How much Python has signed in this process."""

    size = 0


def worthwhile_kernel(size: int) -> Kernel | None:
    """The kernel, once more text than `_PAYS_FROM` has come by, or where it was compiled before.

    Args:
        size: bytes of the text that is to be signed now.
    """
    _Waiting.size += size
    return kernel() if _Waiting.size > _PAYS_FROM or _was_compiled() else None


@functools.cache
def _was_compiled() -> bool:
    return is_kept(_SOURCE, _FLAGS)
