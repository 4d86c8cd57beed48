"""Byte-level BPE: what is learned, that it is the same each time, and that nothing is lost."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from llm.tokens.bpe import SPLITS, BpeSettings, CorpusTooSmallError, train
from llm.tokens.special_tokens import SPECIAL_TOKENS
from llm.tokens.token_bytes import byte_alphabet
from tests.llm.tokens.small_tokenizer import SIZE, library_texts, small_tokenizer


def split(text: str, digits: str = "single") -> list[str]:
    splitter = pre_tokenizers.Split(Regex(SPLITS[digits]), behavior="isolated", invert=False)
    return [piece for piece, _ in splitter.pre_tokenize_str(text)]


def round_trip(text: str) -> str:
    tokenizer = small_tokenizer()
    return str(tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False))


def test_the_split_is_that_of_qwen2() -> None:
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    assert SPLITS["single"] == PRETOKENIZE_REGEX


def test_split_of_a_sentence() -> None:
    found = split("It's 2024,  wasn’t it?\n\n  x += 10")
    assert found == [
        "It", "'s", " ", "2", "0", "2", "4", ",", " ", " wasn", "’t", " it", "?\n\n", " ", " x",
        " +=", " ", "1", "0",
    ]  # fmt: skip


def test_the_other_split_takes_three_digits_at_once() -> None:
    text = "x 1234567,89 It's 2024\n"
    assert split(text, "triple") == [
        "x", " ", "123", "456", "7", ",", "89", " It", "'s", " ", "202", "4", "\n",
    ]  # fmt: skip


def test_special_tokens_come_first_then_bytes_then_merges() -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.get_vocab_size() == SIZE
    assert [tokenizer.id_to_token(i) for i in range(4)] == list(SPECIAL_TOKENS)
    assert {tokenizer.id_to_token(i) for i in range(4, 260)} == set(byte_alphabet())
    common = {"Ġthe", "Ġself", "Ġreturn", "Ġdef"}
    assert common <= set(tokenizer.get_vocab())


def test_no_learned_token_is_longer_than_asked() -> None:
    learned = [t for t in small_tokenizer().get_vocab() if t not in SPECIAL_TOKENS]
    assert max(map(len, learned)) <= 16
    longer = train(library_texts(), BpeSettings(SIZE, 2, 64, "single"))
    assert max(map(len, longer.get_vocab())) > 16  # rulers of spaces and dashes


def test_digits_are_single_tokens() -> None:
    tokens = small_tokenizer().encode("1234567890").tokens
    assert tokens == list("1234567890")


def test_numbers_of_three_digits_are_learned_where_that_is_asked() -> None:
    texts = [*library_texts(), "in 1999 and 1998, on 199 pages\n" * 200]
    learned = train(texts, BpeSettings(1024, 2, 16, "triple"))
    assert learned.encode("1999").tokens == ["199", "9"]
    assert learned.decode(learned.encode("in 1234567\n").ids) == "in 1234567\n"
    single = train(texts, BpeSettings(1024, 2, 16, "single"))
    assert single.encode("1999").tokens == list("1999")


@pytest.mark.long
def test_every_character_of_every_plane_comes_back() -> None:
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for start in range(0, len(characters), 1 << 16):
        text = "".join(characters[start : start + (1 << 16)])
        assert round_trip(text) == text


def test_binary_junk_comes_back() -> None:
    junk = bytes(range(256)) * 4 + hashlib.sha512(b"junk").digest() * 16
    for text in (junk.decode("latin-1"), junk.decode("utf-8", "replace"), "\0" * 5000):
        assert round_trip(text) == text


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert round_trip(text) == text


@given(st.binary())
def test_any_bytes_as_latin_1_come_back(junk: bytes) -> None:
    text = junk.decode("latin-1")
    assert round_trip(text) == text


def test_composed_and_decomposed_characters_stay_apart() -> None:
    assert round_trip("e\u0301") == "e\u0301"
    assert round_trip("\u00e9") == "\u00e9"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_equal_bytes_in_any_order_and_with_any_threads(threads: str) -> None:
    """In a process of its own: the thread pool is set up once in each."""
    program = (
        "from tests.llm.tokens.small_tokenizer import SIZE, library_texts\n"
        "from llm.tokens.bpe import BpeSettings, train\n"
        "learned = train(library_texts()[::-1], BpeSettings(SIZE, 2, 16, 'single'))\n"
        "print(learned.to_str(pretty=True), end='')"
    )
    environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, check=True
    )
    assert done.stdout.decode() == small_tokenizer().to_str(pretty=True)


def test_a_small_corpus_gives_the_multiple_of_128_it_fills() -> None:
    text = library_texts()[4][:20_000]
    small = train([text], BpeSettings(65_536, 2, 16, "single"))
    size = small.get_vocab_size()
    assert size % 128 == 0
    assert 384 <= size < 65_536
    # It is the beginning of what a training without the rounding learns.
    again = train([text], BpeSettings(size, 2, 16, "single"))
    assert again.to_str() == small.to_str()
    with_more = train([text, library_texts()[1]], BpeSettings(65_536, 2, 16, "single"))
    assert with_more.get_vocab_size() > size


def test_a_corpus_without_merges_is_refused() -> None:
    with pytest.raises(CorpusTooSmallError, match="needs 124"):
        train(["ab ab"], BpeSettings(384, 2, 16, "single"))


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 128"):
        train(["ab"], BpeSettings(1000, 2, 16, "single"))
