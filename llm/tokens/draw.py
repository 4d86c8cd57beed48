"""Random numbers that belong to a thing, not to the order in which things come.

Shuffles, samples and fractions are drawn from hashes of names, so they are equal whatever the
order, number and grouping of the inputs, and one more document changes nobody else's draw.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xxhash
from numpy.typing import NDArray


def draw(seed: int, purpose: str, *names: str | int) -> int:
    """A number in [0, 2^64), uniform over names: xxh3-64 of seed, purpose and names.

    Args:
        purpose: keeps the draws of one use independent of those of another.
    """
    return xxhash.xxh3_64_intdigest("\x1f".join(map(str, (seed, purpose, *names))).encode())


def draws(seed: int, purpose: str, names: Iterable[str]) -> NDArray[np.uint64]:
    """uint64 (names,): `draw` of each."""
    return np.array([draw(seed, purpose, name) for name in names], dtype=np.uint64)
