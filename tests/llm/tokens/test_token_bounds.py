"""Tokens back to texts, and where in a text each token begins."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from llm.tokens.encoding import encoder
from llm.tokens.token_bounds import token_bounds
from llm.tokens.token_texts import texts_of
from tests.llm.tokens.small_tokenizer import small_folder

TEXTS = ["Return the norm.", "naïve 😀😀 Straße\n\n  indented", "<|endoftext|> is text here", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("bounds") / "tokenizer")


def test_packed_tokens_are_the_text_they_were_made_of(folder: Path) -> None:
    tokens = encoder(str(folder)).documents(TEXTS)
    assert isinstance(tokens, pa.ListArray)
    assert texts_of(tokens, folder) == [text.encode() for text in TEXTS]


@pytest.mark.parametrize("text", TEXTS)
def test_bounds_are_those_of_tokens_at_whole_characters(folder: Path, text: str) -> None:
    data = text.encode()
    bounds = token_bounds(data, folder).tolist()
    assert (bounds[0], bounds[-1]) == (0, len(data))
    pieces = [data[a:b].decode() for a, b in pairwise(bounds)]
    assert "".join(pieces) == text
    ids = encoder(str(folder)).ids(text)
    assert len(pieces) <= len(ids)
    if text.isascii():
        assert len(pieces) == len(ids)


def test_no_text_has_no_tokens(folder: Path) -> None:
    assert token_bounds(b"", folder).tolist() == [0]
