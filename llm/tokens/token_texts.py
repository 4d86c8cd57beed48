"""Tokens back to the text they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from llm.tokens.hf_folder import load_tokenizer, special_id
from llm.tokens.special_tokens import END_OF_TEXT
from llm.tokens.token_bytes import token_bytes


def texts_of(tokens: pa.ListArray, folder: Path) -> list[bytes]:
    """The bytes of each document.

    Args:
        tokens: list<int32> (documents,), each ended by the end of text.
        folder: of the tokenizer.
    """
    pieces, end = _pieces(folder)
    return [b"".join(map(pieces.__getitem__, _less_end(ids.as_py(), end))) for ids in tokens]


def _less_end(ids: Sequence[int], end: int) -> Sequence[int]:
    return ids[:-1] if ids and ids[-1] == end else ids


@lru_cache(maxsize=1)
def _pieces(folder: Path) -> tuple[list[bytes], int]:
    return (
        token_bytes(folder / "tokenizer.json"),
        special_id(load_tokenizer(folder), END_OF_TEXT),
    )
