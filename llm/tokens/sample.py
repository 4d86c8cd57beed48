"""Which documents a tokenizer is trained on when there are more than it needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm.tokens.draw import draws


def sample(
    doc_ids: Sequence[str], sizes: NDArray[np.int64], capacity: int, seed: int, purpose: str
) -> NDArray[np.bool_]:
    """bool (documents,): which whole documents are taken, at most `capacity` bytes of them.

    Documents are taken in order of a hash of their id, each if it still fits. The choice does
    not depend on the order of the rows.

    Args:
        sizes: int64 (documents,), bytes each.
        purpose: of the sample; samples for different purposes are independent.
    """
    keys = draws(seed, purpose, doc_ids)
    order = np.lexsort((np.asarray(doc_ids, dtype=np.str_), keys))
    taken = np.zeros(len(sizes), dtype=np.bool_)
    room = capacity
    for row in order.tolist():
        size = int(sizes[row])
        if size <= room:
            taken[row] = True
            room -= size
    return taken
