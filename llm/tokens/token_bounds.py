"""Where in a text its tokens begin."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm.tokens.bulk_encoding import BulkEncoder
from llm.tokens.token_bytes import token_byte_lengths

_CONTINUES, _HIGHEST_BITS = 0x80, 0xC0  # of a byte that goes on with a character
_WORD = re.compile(rb"\s*\S+|\s+")


def token_bounds(data: bytes, folder: Path) -> NDArray[np.int64]:
    """int64 (tokens + 1,): where in UTF-8 each token begins, and where the last ends.

    Tokens that begin within a character count to the one before. Where the tokens do not spell the
    text out, as those of a vocabulary that normalises, its words take their place.

    Args:
        folder: of the tokenizer.
    """
    encoder, lengths = _tokens(folder)
    ids = encoder.ids(data.decode("utf-8", "surrogatepass"))
    ends = np.cumsum(lengths[ids], dtype=np.int64)
    if len(data) != (int(ends[-1]) if len(ends) else 0):
        ends = np.array([found.end() for found in _WORD.finditer(data)], np.int64)
    inner = ends[ends < len(data)]
    begins = np.frombuffer(data, np.uint8)[inner] & _HIGHEST_BITS != _CONTINUES
    return np.unique(np.concatenate([[0], inner[begins], [len(data)]])).astype(np.int64)


@lru_cache(maxsize=1)
def _tokens(folder: Path) -> tuple[BulkEncoder, NDArray[np.int32]]:
    return BulkEncoder(folder), token_byte_lengths(folder / "tokenizer.json")
