"""The bytes of every token, against the tokenizer itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import pre_tokenizers

from llm.tokens.special_tokens import SPECIAL_TOKENS
from llm.tokens.token_bytes import (
    NotByteLevelError,
    byte_alphabet,
    token_byte_lengths,
    token_bytes,
)
from tests.llm.tokens.small_tokenizer import SIZE, library_texts, small_folder, small_tokenizer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return small_folder(tmp_path / "tokenizer") / "tokenizer.json"


def test_alphabet_is_that_of_the_tokenizers_library() -> None:
    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for character in ("a", " ", "\n", "\u00e9", "\u00ad", "\u4e2d", "\U0001f600"):
        written = "".join(piece for piece, _ in whole.pre_tokenize_str(character))
        assert bytes(byte_alphabet()[c] for c in written) == character.encode()
    assert sorted(byte_alphabet().values()) == list(range(256))


def test_every_token(path: Path) -> None:
    """Each token whose bytes are whole characters decodes to exactly those."""
    tokenizer, pieces, whole = small_tokenizer(), token_bytes(path), 0
    assert len(pieces) == SIZE
    for index, piece in enumerate(pieces):
        if index < len(SPECIAL_TOKENS):
            assert piece == b""
            continue
        assert piece
        try:
            text = piece.decode()
        except UnicodeDecodeError:
            assert "\ufffd" in tokenizer.decode([index])
            continue
        whole += 1
        assert tokenizer.decode([index]) == text
    assert whole >= SIZE - 4 - 128
    assert len(set(pieces[4:])) == SIZE - 4


def test_lengths_of_a_text_add_up_to_its_bytes(path: Path) -> None:
    lengths, pieces = token_byte_lengths(path), token_bytes(path)
    assert lengths.dtype == "int32"
    for text in (*library_texts(), "naïve 中文 \U0001f469\u200d\U0001f680 \u0085\u2028"):
        ids = small_tokenizer().encode(text).ids
        assert int(lengths[ids].sum()) == len(text.encode())
        assert b"".join(pieces[index] for index in ids) == text.encode()


def test_a_vocabulary_of_words_is_refused(path: Path) -> None:
    record = json.loads(path.read_text())
    record["model"]["vocab"]["▁the"] = SIZE
    path.write_text(json.dumps(record))
    with pytest.raises(NotByteLevelError, match="▁the"):
        token_bytes(path)


def test_a_gap_in_the_ids_is_refused(path: Path) -> None:
    record = json.loads(path.read_text())
    del record["model"]["vocab"]["!"]
    path.write_text(json.dumps(record))
    with pytest.raises(NotByteLevelError, match="gap"):
        token_bytes(path)
