"""Tokenizers of other programs taken as they are: what they make of a text, and what they lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer

from llm.tokens.chat import ChatEncoder
from llm.tokens.encoding import DocumentEncoder
from llm.tokens.given import GivenTokenizerError, NoDocumentEndError, take
from llm.tokens.special_tokens import END_OF_TEXT, SPECIAL_TOKENS, TURN_END
from llm.tokens.token_bytes import token_bytes
from tests.llm.foreign_models import foreign_tokenizer
from tests.llm.tokens.small_tokenizer import of_pieces

TEXTS = [
    "Plain words.",
    "  def f(x):\n\treturn x",
    "日本語 é \U0001f600 \x00",
    f"spelled {TURN_END}",
]


def of_kind(kind: str, folder: Path) -> Path:
    foreign_tokenizer(kind).save_pretrained(folder)
    return folder / "tokenizer.json"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def test_its_tokens_stay_and_those_for_chats_are_added(tmp_path: Path, target: Path) -> None:
    path = of_kind("gpt2", tmp_path / "gpt2")
    theirs = Tokenizer.from_file(str(path))
    assert take(path, target) == theirs.get_vocab_size() + 3
    encoder = DocumentEncoder(target)
    theirs.encode_special_tokens = True
    for text in TEXTS:
        assert list(encoder.ids(text)) == theirs.encode(text, add_special_tokens=False).ids
    assert encoder.end_id == theirs.token_to_id(END_OF_TEXT)
    chat = ChatEncoder(target)
    asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert chat.decode(chat.render(asked).completion_ids) == f"b{TURN_END}"
    assert {chat.tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS} >= {
        chat.pad,
        *chat.stops,
    }


def pieces(tmp_path: Path, missing: int = -1) -> Path:
    """A vocabulary of SentencePiece's kind: pieces, and bytes for what is none."""
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256) if byte != missing), "\u2581", "a"]
    found = of_pieces([*names, "b", "\u2581a", "ab"], [("\u2581", "a"), ("a", "b")])
    path = tmp_path / "pieces.json"
    found.save(str(path))
    return path


def test_one_that_falls_back_on_bytes(tmp_path: Path, target: Path) -> None:
    take(pieces(tmp_path), target)
    encoder, lengths = DocumentEncoder(target), token_bytes(target / "tokenizer.json")
    plain = Tokenizer.from_file(str(target / "tokenizer.json"))
    for text in ("a ab b", "日本語 é\n"):
        ids = [int(token) for token in encoder.ids(text)]
        assert b"".join(lengths[token] for token in ids) == text.encode()
        assert plain.decode(ids) == text


def test_what_cannot_be_taken(tmp_path: Path, target: Path) -> None:
    with pytest.raises(NoDocumentEndError, match=r"no special token <\|endoftext\|>.*Add it"):
        take(of_kind("llama", tmp_path / "llama"), target)
    with pytest.raises(
        GivenTokenizerError, match=r"no token for 1 of 256 bytes \(the first is 0x0a"
    ):
        take(pieces(tmp_path, missing=10), target)
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(GivenTokenizerError, match=r"none\.json is no tokenizer"):
        take(tmp_path / "none.json", target)
    ordinary = Tokenizer.from_file(str(of_kind("gpt2", tmp_path / "gpt2")))
    ordinary.add_tokens([AddedToken(TURN_END)])
    ordinary.save(str(tmp_path / "ordinary.json"))
    with pytest.raises(GivenTokenizerError, match=r"<\|im_end\|> is an ordinary token"):
        take(tmp_path / "ordinary.json", target)


def test_ids_above_two_bytes(tmp_path: Path, target: Path) -> None:
    large = Tokenizer.from_file(str(of_kind("gpt2", tmp_path / "gpt2")))
    large.add_tokens([AddedToken(f"\u2603{number:x}") for number in range(70_000)])
    large.save(str(tmp_path / "large.json"))
    size = take(tmp_path / "large.json", target)
    assert size > 70_000
    ids = DocumentEncoder(target).documents([f"see \u2603{69_999:x}"])
    assert int(np.array(ids.values).max()) > 1 << 16
