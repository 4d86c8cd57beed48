"""MinHash signatures, those of datasketch.

Broder 1997; datasketch 2's scheme "affine32": a 32-bit hash of each shingle is mixed once, then
permuted by a·h + b mod 2^32. Seed and hash function are constants, so that signatures computed
at different times can be compared.

Computed here, not by datasketch: it imports SciPy and Redis, half a second in each process that
signs, which is most of a small corpus's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

SEED = 1
# All shingles of a piece are permuted at once, num_perm × 4 bytes each: a book of a million words
# would take half a gigabyte. The minimum over pieces is the minimum over the whole.
_PIECE = 1 << 15


def _pieces(sets: Sequence[Iterable[bytes]]) -> Iterator[tuple[int, list[bytes]]]:
    for index, shingles in enumerate(sets):
        whole = list(shingles)
        for start in range(0, len(whole), _PIECE):
            yield index, whole[start : start + _PIECE]


def signatures(sets: Sequence[Iterable[bytes]], num_perm: int) -> npt.NDArray[np.uint32]:
    """MinHash signature of each set of shingles.

    Equal to `datasketch.MinHash(num_perm, seed=1, scheme="affine32", hashfunc=xxh32)` updated
    with every shingle.

    Returns:
        `(sets, num_perm)`; a row of 2^32 - 1 for an empty set.
    """
    result = np.full((len(sets), num_perm), np.iinfo(np.uint32).max, dtype=np.uint32)
    factors, summands = _permutations(num_perm)
    for owner, piece in _pieces(sets):
        hashes = _mixed(np.array([xxhash.xxh32_intdigest(s) for s in piece], dtype=np.uint32))
        permuted = hashes[:, None] * factors + summands
        np.minimum(result[owner], permuted.min(axis=0), out=result[owner])
    return result


def _permutations(num_perm: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """a and b of each permutation; a is odd, so that a·h + b mod 2^32 is one."""
    random = np.random.RandomState(SEED)
    halves = random.randint(0, 1 << 31, num_perm, dtype=np.uint32)
    return halves * np.uint32(2) + np.uint32(1), random.randint(0, 1 << 32, num_perm, np.uint32)


def _mixed(hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The finalizer of MurmurHash3, a bijection."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


def estimated_jaccard(
    one: npt.NDArray[np.uint32], many: npt.NDArray[np.uint32]
) -> npt.NDArray[np.float64]:
    """Share of equal values: an unbiased estimate of Jaccard with deviation √(J(1-J)/num_perm).

    Args:
        one: `(num_perm,)`, or `(n, num_perm)` to compare row by row.
        many: `(n, num_perm)`.

    Returns:
        `(n,)`.
    """
    equal: npt.NDArray[np.float64] = (one == many).mean(axis=1)
    return equal
