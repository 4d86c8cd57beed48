"""Rows of random tokens, for whoever times training: what they say changes no step's length."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from llm.tokens.token_file import TokenFile


def random_rows(vocabulary_size: int, length: int, rows: int, documents: int = 1) -> TokenFile:
    """Training rows of `length` inputs, none for validation; equal arguments give equal rows.

    Args:
        documents: equal pieces a row is made of.
    """
    drawn = np.random.default_rng(0).integers(vocabulary_size, size=(rows, length + 1))
    kind = np.uint16 if vocabulary_size <= 1 << 16 else np.uint32
    full = np.full(rows, length + 1, dtype=np.int32)
    nothing = np.empty(0, dtype=np.int32)
    begins = np.arange(documents, dtype=np.int32) * (length // documents)
    return TokenFile(
        folder=Path(),
        data_id="",
        vocabulary_size=vocabulary_size,
        sequence_length=length,
        train=drawn.astype(kind),
        validation=drawn[:0].astype(kind),
        lengths={"train": full, "validation": nothing},
        starts={"train": np.tile(begins, rows), "validation": nothing},
        bounds={
            "train": np.arange(rows + 1, dtype=np.int64) * documents,
            "validation": np.zeros(1, dtype=np.int64),
        },
        sources={},
    )
