"""What is learned by compiled code: the merges that `tokenizers` learns, from the same words."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.tokens import bpe
from llm.tokens.bpe import LONGEST_WORD, SPLITS, BpeSettings, train, train_by_tokenizers
from llm.tokens.hostile_texts import hostile_texts
from llm.tokens.merging import count_words, learn_merges, library
from llm.tokens.special_tokens import SPECIAL_TOKENS
from tests.llm.tokens.small_tokenizer import library_texts

TEXTS = [*library_texts(), *hostile_texts(SPECIAL_TOKENS), "1999 of 100,000\n" * 50, "x" * 5_000]


def plainly(texts: list[str], digits: str) -> Counter[str]:
    """Words as the split of `tokenizers` has them, text by text."""
    split = bpe._split(digits)
    words: Counter[str] = Counter()
    for text in texts:
        for word, _ in split.pre_tokenize_str(text):
            words.update(word[at : at + LONGEST_WORD] for at in range(0, len(word), LONGEST_WORD))
    return words


def counted(texts: list[str], digits: str) -> Counter[str]:
    return count_words(texts, SPLITS[digits], bpe._split(digits), LONGEST_WORD)


@pytest.mark.parametrize("digits", ["single", "triple"])
def test_words_are_those_of_whole_texts(digits: str) -> None:
    found = counted(TEXTS, digits)
    assert found == plainly(TEXTS, digits)
    assert len(found) > 3_000


white = st.sampled_from(
    ["  ", " \n", "\n \n", "\r\n", "\t", "\xa0", "\u2028", "\x1c", " ", ".\n", "'s"]
)


@given(st.lists(st.one_of(st.text(max_size=4), white, st.just("a1"))))
def test_words_of_any_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    for digits in SPLITS:
        assert counted([text], digits) == plainly([text], digits)


@pytest.mark.parametrize("digits", ["single", "triple"])
@pytest.mark.parametrize(("size", "frequency", "longest"), [(1024, 2, 16), (4096, 1, 5)])
def test_the_tokenizer_is_the_same(
    digits: str, size: int, frequency: int, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert library() is not None, "no compiler here: nothing was tested"
    settings = BpeSettings(size, frequency, longest, digits)
    monkeypatch.setattr(bpe, "_PAYS_FROM", 1)
    fast = train(TEXTS, settings)
    assert fast.to_str() == train_by_tokenizers(TEXTS, settings, size).to_str()


def test_texts_that_give_fewer_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = BpeSettings(65_536, 2, 16, "single")
    texts = [library_texts()[0]]
    slow = train(texts, settings)
    monkeypatch.setattr(bpe, "_PAYS_FROM", 1)
    fast = train(texts, settings)
    assert 384 < fast.get_vocab_size() < 65_536
    assert fast.to_str() == slow.to_str()


def test_without_a_compiler_tokenizers_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = BpeSettings(512, 2, 16, "single")
    monkeypatch.setattr(bpe, "_PAYS_FROM", 1)
    fast = train(library_texts(), settings)
    monkeypatch.setattr(bpe, "library", lambda: None)
    assert train(library_texts(), settings).to_str() == fast.to_str()


def test_nothing_to_learn() -> None:
    found = library()
    assert found is not None
    assert learn_merges(found, Counter(), 4, 512, 2, 16) == []
    assert learn_merges(found, Counter({"ab": 1}), 4, 512, 2, 16) == []
    assert len(learn_merges(found, Counter({"ab": 2}), 4, 512, 2, 16)) == 1
