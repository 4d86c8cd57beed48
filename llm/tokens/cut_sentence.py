"""A sentence and the tokens it is cut into, to be looked at."""

from __future__ import annotations

import re
from pathlib import Path

from llm.tokens.bulk_encoding import BulkEncoder
from llm.tokens.token_bytes import token_bytes

_SENTENCE = re.compile(r"(?<!\S)[^\W\d_][^.!?\n]{30,120}[.!?](?!\S)")
_LONGEST = 120


def first_sentence(text: str) -> str:
    """The first of middling length; else how the text begins."""
    found = _SENTENCE.search(text)
    return found[0] if found is not None else text.strip()[:_LONGEST]


def cut(sentence: str, folder: Path) -> list[str]:
    """The text of each token; of one that is a part of a character a replacement character.

    Args:
        folder: of the tokenizer.
    """
    pieces = token_bytes(folder / "tokenizer.json")
    ids = BulkEncoder(folder).ids(sentence)
    return [pieces[token].decode("utf-8", "replace") for token in ids.tolist()]
