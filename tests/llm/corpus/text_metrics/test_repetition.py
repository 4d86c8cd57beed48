"""Repetition metrics against hand-counted values and a plain reference implementation."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.text_metrics.metrics import REPETITION
from tests.llm.corpus.text_metrics.measured import measured


def reference_ngrams(text: str) -> list[float]:
    """The definitions of the module's docstring, word by word, without any shortcut."""
    words = text.split()
    total = sum(map(len, words))
    result = []
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        most = max(counts.values(), default=0)
        if most < 2:
            result.append(0.0)
            continue
        if n <= 4:
            best = [g for g in dict.fromkeys(grams) if counts[g] == most]
            best.sort(key=lambda gram: -sum(map(len, gram)))
            chosen = {best[0]}
        else:
            chosen = {gram for gram, count in counts.items() if count > 1}
        covered = {i + k for i, gram in enumerate(grams) if gram in chosen for k in range(n)}
        result.append(sum(len(words[i]) for i in covered) / total)
    return result


def test_duplicate_lines_and_paragraphs() -> None:
    # Lines: aa, bbbb, aa, cc, aa -> two of five repeat, 4 of 12 characters.
    text = "aa\nbbbb\n\naa\ncc\n \naa"
    found = measured(text)
    assert found["duplicate_line_fraction"] == pytest.approx(2 / 5)
    assert found["duplicate_line_char_fraction"] == pytest.approx(4 / 12)
    # Paragraphs: "aa\nbbbb", "aa\ncc", "aa": none repeats.
    assert found["duplicate_paragraph_fraction"] == 0
    twice = measured("one two\n\nother\n\none two")
    assert twice["duplicate_paragraph_fraction"] == pytest.approx(1 / 3)
    assert twice["duplicate_paragraph_char_fraction"] == pytest.approx(7 / 19)


def test_top_ngrams_by_hand() -> None:
    # "a bb" three times (9 characters of 9 + 6), "bb a" never; 3-grams occur once each.
    found = measured("a bb ccc a bb dd a bb e")
    assert found["top_2gram_char_fraction"] == pytest.approx(9 / 15)
    assert found["top_3gram_char_fraction"] == 0
    # Among 2-grams that occur twice each the longest counts.
    found = measured("a b x a b y long words z long words")
    assert found["top_2gram_char_fraction"] == pytest.approx(18 / 25)


def test_overlapping_occurrences_count_once() -> None:
    found = measured("na " * 30)
    assert found["top_2gram_char_fraction"] == 1
    assert found["duplicate_10gram_char_fraction"] == 1


def test_duplicate_ngrams_count_all_occurrences() -> None:
    # Five words twice, separated by a word of one character: 20 of 21 characters.
    found = measured("aa bb cc dd ee - aa bb cc dd ee")
    assert found["duplicate_5gram_char_fraction"] == pytest.approx(20 / 21)
    assert found["duplicate_6gram_char_fraction"] == 0


@given(st.lists(st.sampled_from(["a", "b", "cc", "ddd"]), max_size=60).map(" ".join))
def test_equals_the_reference(text: str) -> None:
    found = measured(text)
    assert [found[name] for name in list(REPETITION)[4:]] == pytest.approx(reference_ngrams(text))


@given(st.lists(st.sampled_from(["x y z u v w", "one two", "p"]), max_size=25).map(" ".join))
def test_equals_the_reference_on_long_repeats(text: str) -> None:
    found = measured(text)
    assert [found[name] for name in list(REPETITION)[4:]] == pytest.approx(reference_ngrams(text))
