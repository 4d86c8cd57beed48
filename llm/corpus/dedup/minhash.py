"""MinHash signatures, those of datasketch.

Broder 1997; datasketch 2's scheme "affine32": a 32-bit hash of each shingle is mixed once, then
permuted by a·h + b mod 2^32. Seed and hash function are constants, so that signatures computed
at different times can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

SEED = 1
SCHEME = "affine32"
# datasketch permutes all shingles of a text at once, num_perm × 4 bytes each: a book of a million
# words would take half a gigabyte. The minimum over pieces is the minimum over the whole.
_PIECE = 1 << 15


def _pieces(sets: Sequence[Iterable[bytes]]) -> Iterator[tuple[int, list[bytes]]]:
    for index, shingles in enumerate(sets):
        whole = list(shingles)
        for start in range(0, len(whole), _PIECE):
            yield index, whole[start : start + _PIECE]


def permutations(num_perm: int) -> npt.NDArray[np.uint32]:
    """`(2, num_perm)`: the factors a, all odd, and the summands b of the permutations.

    Those datasketch draws, which are not asked for there: to import it takes longer than to sign a
    hundred documents.
    """
    draw = np.random.RandomState(SEED)
    odd = draw.randint(0, 1 << 31, num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return np.array([odd, draw.randint(0, 1 << 32, num_perm, dtype=np.uint32)])


def minhash_signatures(sets: Sequence[Iterable[bytes]], num_perm: int) -> npt.NDArray[np.uint32]:
    """MinHash signature of each set of shingles.

    Equal to `datasketch.MinHash(num_perm, seed=1, scheme="affine32", hashfunc=xxh32)` updated
    with every shingle.

    Returns:
        `(sets, num_perm)`; a row of 2^32 - 1 for an empty set.
    """
    from datasketch import MinHash

    result = np.full((len(sets), num_perm), np.iinfo(np.uint32).max, dtype=np.uint32)
    owners: list[int] = []

    def batches() -> Iterator[list[bytes]]:
        for owner, piece in _pieces(sets):
            owners.append(owner)
            yield piece

    sketches = MinHash.generator(
        batches(), num_perm=num_perm, seed=SEED, scheme=SCHEME, hashfunc=xxhash.xxh32_intdigest
    )
    for index, sketch in enumerate(sketches):
        owner = owners[index]
        np.minimum(result[owner], sketch.hashvalues, out=result[owner])
    return result


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
