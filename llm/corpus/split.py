"""Train or validation, decided by a hash so that it depends on nothing but the group."""

from __future__ import annotations

import xxhash

from llm.tables import TRAIN, VALIDATION

# Near-duplicates from this Jaccard on are never on both sides.
SPLIT_JACCARD = 0.5


def split_of(group: str, seed: int, validation_fraction: float) -> str:
    """`VALIDATION` for that share of groups, `TRAIN` for the others.

    Args:
        group: what must not be torn apart: the smallest doc_id of a component of
            near-duplicates, or the doc_id of a document without any.
    """
    point = xxhash.xxh3_64_intdigest(f"{seed}:{group}".encode())
    return VALIDATION if point < validation_fraction * 2.0**64 else TRAIN
