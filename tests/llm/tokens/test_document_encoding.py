"""Documents to tokens, and how many."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.tokens.encoding import DocumentEncoder
from llm.tokens.fertility import fertility
from llm.tokens.special_tokens import SPECIAL_TOKENS
from tests.llm.tokens.small_tokenizer import library_texts, small_folder, small_tokenizer


@pytest.fixture
def encoder(tmp_path: Path) -> DocumentEncoder:
    return DocumentEncoder(small_folder(tmp_path / "tokenizer"))


def test_each_document_ends_with_the_end_of_text(encoder: DocumentEncoder) -> None:
    texts = [*library_texts(), "", "one", "\n"]
    found = encoder.documents(texts).to_pylist()
    assert [ids[:-1] for ids in found] == [small_tokenizer().encode(text).ids for text in texts]
    assert {ids[-1] for ids in found} == {0}
    assert encoder.documents([]).to_pylist() == []


def test_special_tokens_in_a_page_are_text(encoder: DocumentEncoder) -> None:
    for token in SPECIAL_TOKENS:
        text = f"write {token} to end\n{token}"
        ids = encoder.ids(text).tolist()
        assert min(ids) >= len(SPECIAL_TOKENS)
        assert small_tokenizer().decode(ids) == text


def test_fertility_of_known_texts(encoder: DocumentEncoder) -> None:
    found = fertility(encoder, ["12 345", "é\n"])
    assert (found.documents, found.characters, found.size, found.words) == (2, 8, 9, 3)
    assert found.tokens == len(encoder.ids("12 345")) + len(encoder.ids("é\n"))
    assert found.tokens_per_word == found.tokens / 3
    assert found.bytes_per_token == 9 / found.tokens
    nothing = fertility(encoder, [])
    assert nothing.tokens_per_word is None
    assert nothing.bytes_per_token is None


def test_known_text_is_compressed_better_than_foreign(encoder: DocumentEncoder) -> None:
    own = fertility(encoder, library_texts()).bytes_per_token
    foreign = fertility(encoder, ["Съешь же ещё этих мягких французских булок"]).bytes_per_token
    assert own is not None
    assert foreign is not None
    assert own > 2.5 > foreign
