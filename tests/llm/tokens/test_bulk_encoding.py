"""The fast encoder beside `tokenizers`: equal ids, and what is done where they would not be."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from llm.tokens import bulk_encoding
from llm.tokens.bpe import BpeSettings, train
from llm.tokens.bulk_encoding import (
    BulkEncoder,
    Encode,
    Flat,
    fast_encoder,
    first_difference,
    plain_encoder,
)
from llm.tokens.encoding import DocumentEncoder
from llm.tokens.hostile_texts import hostile_texts
from llm.tokens.special_tokens import SPECIAL_TOKENS
from tests.llm.tokens.small_tokenizer import library_texts, small_folder, small_tokenizer

TEXTS = [*library_texts(), "", "one", "\n", "x" * 50_000, "the user's 1234567 ...\r\n\r\n"]


@pytest.fixture(autouse=True)
def made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    yield
    forget()


def forget() -> None:
    """As in another process."""
    bulk_encoding._made.cache_clear()
    bulk_encoding._chosen.cache_clear()


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@cache
def both() -> tuple[Encode, Encode]:
    """`tokenizers` and the fast encoder."""
    record = small_tokenizer().to_str()
    return plain_encoder(record), fast_encoder(record)


def ids(encoder: BulkEncoder, text: str) -> list[int]:
    found: list[int] = encoder.ids(text).tolist()
    return found


@pytest.mark.parametrize("digits", ["single", "triple"])
def test_the_fast_encoder_gives_equal_ids(digits: str) -> None:
    record = train(library_texts(), BpeSettings(1024, 2, 16, digits)).to_str()
    plain, fast = plain_encoder(record), fast_encoder(record)
    found, offsets = fast(TEXTS)
    assert offsets[0] == 0
    assert offsets[-1] == len(found) > 10_000
    assert first_difference(plain, fast, TEXTS) is None
    assert first_difference(plain, fast, hostile_texts(SPECIAL_TOKENS)) is None


@given(st.lists(st.text(), max_size=5))
def test_equal_ids_for_any_text(texts: list[str]) -> None:
    assert first_difference(*both(), texts) is None


@pytest.mark.long
def test_equal_ids_for_every_character_in_its_places() -> None:
    """Behind and before letters, digits, spaces, marks and itself, and as a contraction."""
    plain, fast = both()
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for start in range(0, len(characters), 1 << 14):
        texts = [f"a{c}b1{c}2 {c}{c} .{c}!\n{c}'{c}" for c in characters[start : start + (1 << 14)]]
        assert first_difference(plain, fast, texts) is None


def test_the_fast_one_is_taken_and_says_so(tmp_path: Path) -> None:
    encoder = BulkEncoder(small_folder(tmp_path / "tokenizer"))
    assert encoder.by.startswith("fastokens ")
    assert encoder.refused == ""
    assert [ids(encoder, text) for text in TEXTS] == [
        small_tokenizer().encode(text).ids for text in TEXTS
    ]


def test_without_it_the_same_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_folder(tmp_path / "tokenizer")
    texts = [*TEXTS, *SPECIAL_TOKENS]
    fast = DocumentEncoder(folder)
    documents, counts = fast.documents(texts), fast.counts(texts)
    forget()
    monkeypatch.setitem(sys.modules, "fastokens", None)
    slow = DocumentEncoder(folder)
    assert (slow.by.split()[0], slow.refused) == ("tokenizers", "fastokens is not installed")
    assert fast.by.split()[0] == "fastokens"
    assert documents == slow.documents(texts)
    assert counts.tolist() == slow.counts(texts).tolist()


def test_a_tokenizer_it_cannot_read(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(small_tokenizer().to_str())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    encoder = BulkEncoder(saved(tokenizer, tmp_path / "other"))
    assert "cannot use this tokenizer" in encoder.refused
    assert "Whitespace" in encoder.refused
    assert ids(encoder, "def one") == tokenizer.encode("def one").ids


def test_one_id_that_differs_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bulk_encoding.fast_encoder

    def other(record: str) -> Any:
        encode = real(record)

        def wrong(texts: Sequence[str]) -> Flat:
            found, offsets = encode(texts)
            place = next(at for at, text in enumerate(texts) if "\u017f" in text)
            found = found.copy()
            found[offsets[place]] += 1
            return found, offsets

        return wrong

    monkeypatch.setattr(bulk_encoding, "fast_encoder", other)
    encoder = BulkEncoder(small_folder(tmp_path / "tokenizer"))
    assert encoder.by.startswith("tokenizers ")
    assert "gives other ids for" in encoder.refused
    assert "ſ" in encoder.refused
    assert ids(encoder, "it'ſ") == small_tokenizer().encode("it'ſ").ids


def test_the_texts_are_tried_once_for_a_tokenizer_and_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def counted(one: Encode, other: Encode, texts: list[str]) -> str | None:
        tried.append(len(texts))
        return first_difference(one, other, texts)

    monkeypatch.setattr(bulk_encoding, "first_difference", counted)
    folder = small_folder(tmp_path / "tokenizer")

    def taken() -> str:
        forget()
        return BulkEncoder(folder).by

    assert taken() == taken()
    assert len(tried) == 1
    assert tried[0] > 1_000
    (kept,) = (tmp_path / "cache" / "ingot" / "encoders").iterdir()
    for broken in (b"", kept.read_bytes()[:-1], b"[]", b'{"refused": 1}'):
        kept.write_bytes(broken)
        taken()
    assert len(tried) == 5
    tokenizer = Tokenizer.from_str(small_tokenizer().to_str())
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    folder = saved(tokenizer, tmp_path / "other")
    taken()
    assert len(tried) == 6
    monkeypatch.setattr("importlib.metadata.version", lambda name: "next")
    assert taken() == "fastokens next"
    assert len(tried) == 7


def test_what_was_found_to_differ_is_refused_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_encoding, "first_difference", lambda *_: "ſ")
    folder = small_folder(tmp_path / "tokenizer")
    first = BulkEncoder(folder)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    again = BulkEncoder(folder)
    assert first.refused == again.refused
    assert "gives other ids for 'ſ'" in again.refused


def test_added_tokens_that_are_not_special_are_still_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(small_tokenizer().to_str())
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    encoder = BulkEncoder(saved(tokenizer, tmp_path / "added"))
    (place,) = [
        token["id"]
        for token in json.loads(tokenizer.to_str())["added_tokens"]
        if token["content"] == "<tool>"
    ]
    assert place in ids(encoder, "call <tool> now")
    assert not set(ids(encoder, "<|im_end|><tool>")) & set(range(len(SPECIAL_TOKENS)))
