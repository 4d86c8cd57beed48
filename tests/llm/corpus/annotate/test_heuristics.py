"""Surface statistics against values counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.annotate.heuristics import heuristics
from llm.corpus.annotate.segmentation import segment
from llm.corpus.words import pieces

PAGE = """The cat sat.

• one item…
- two # items
* three
plain "The end."
42 7 to, OF
well..."""


def test_hand_counted_page() -> None:
    found = heuristics(segment(PAGE))
    words = PAGE.split()
    assert found.word_count == len(words) == 20
    assert found.mean_word_length == pytest.approx(sum(map(len, words)) / 20)
    assert found.hash_word_ratio == pytest.approx(1 / 20)
    assert found.ellipsis_word_ratio == pytest.approx(2 / 20)
    assert found.line_count == 7
    assert found.paragraph_count == 2
    assert found.bullet_line_fraction == pytest.approx(3 / 7)
    assert found.ellipsis_line_fraction == pytest.approx(2 / 7)
    # Without a letter: the bullet, the dash, the hash, the asterisk, 42 and 7.
    assert found.alphabetic_word_fraction == pytest.approx(14 / 20)
    # the (twice counts once), to and of, in whatever case and punctuation.
    assert found.stop_word_count == 3
    # "sat.", "item…", 'end."' and "well..." end a sentence.
    assert found.terminal_punctuation_fraction == pytest.approx(4 / 7)
    assert found.short_line_fraction == 1
    assert found.newline_word_ratio == pytest.approx(7 / 20)


def test_a_dash_is_a_bullet_only_before_a_space() -> None:
    assert heuristics(segment("-5 degrees\n- five")).bullet_line_fraction == 0.5


def test_length_bound_of_a_short_line_is_inclusive() -> None:
    assert heuristics(segment("x" * 30 + "\n" + "x" * 31)).short_line_fraction == 0.5


def test_other_scripts_count_as_letters() -> None:
    found = heuristics(segment("Привет мир, 世界。 !!! 3"))
    assert found.alphabetic_word_fraction == pytest.approx(4 / 6)  # 世 and 界 are pieces


@given(st.text())
def test_fractions_are_fractions_whatever_the_text(text: str) -> None:
    found = heuristics(segment(text))
    for name, value in found._asdict().items():
        assert value >= 0, name
        if name.endswith("_fraction"):
            assert value <= 1, name
    assert found.word_count == len(pieces(text))
