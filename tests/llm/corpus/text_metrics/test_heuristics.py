"""Surface statistics against values counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.text_metrics.languages import stop_words
from llm.corpus.words import pieces
from tests.llm.corpus.text_metrics.measured import measured

PAGE = """The cat sat.

• one item…
- two # items
* three
plain "The end."
42 7 to, OF
well..."""


def test_hand_counted_page() -> None:
    found = measured(PAGE)
    words = PAGE.split()
    assert found["word_count"] == len(words) == 20
    assert found["mean_word_length"] == pytest.approx(sum(map(len, words)) / 20)
    assert found["hash_word_ratio"] == pytest.approx(1 / 20)
    assert found["ellipsis_word_ratio"] == pytest.approx(2 / 20)
    assert found["line_count"] == 7
    assert found["paragraph_count"] == 2
    assert found["bullet_line_fraction"] == pytest.approx(3 / 7)
    assert found["ellipsis_line_fraction"] == pytest.approx(2 / 7)
    # Without a letter: the bullet, the dash, the hash, the asterisk, 42 and 7.
    assert found["alphabetic_word_fraction"] == pytest.approx(14 / 20)
    # the (twice counts once), to and of, in whatever case and punctuation.
    assert found["stop_word_count"] == 3
    # "sat.", "item…", 'end."' and "well..." end a sentence.
    assert found["terminal_punctuation_fraction"] == pytest.approx(4 / 7)
    assert found["short_line_fraction"] == 1
    assert found["newline_word_ratio"] == pytest.approx(7 / 20)


def test_a_dash_is_a_bullet_only_before_a_space() -> None:
    assert measured("-5 degrees\n- five")["bullet_line_fraction"] == 0.5


def test_length_bound_of_a_short_line_is_inclusive() -> None:
    assert measured("x" * 30 + "\n" + "x" * 31)["short_line_fraction"] == 0.5


def test_other_scripts_count_as_letters() -> None:
    found = measured("Привет мир, 世界。 !!! 3")
    assert found["alphabetic_word_fraction"] == pytest.approx(4 / 6)  # 世 and 界 are pieces


@given(st.text())
def test_fractions_are_fractions_whatever_the_text(text: str) -> None:
    found = measured(text)
    for name, value in found.items():
        assert value is None or value >= 0, name
        if name.endswith("_fraction"):
            assert value <= 1, name
    assert found["word_count"] == len(pieces(text))


def test_stop_words_are_those_of_the_language() -> None:
    german = "Die Stadt liegt an einem Fluss, und das Wasser ist nicht tief."
    assert measured(german, "de")["stop_word_count"] == 5  # die, und, das, ist, nicht
    assert measured(german, "en")["stop_word_count"] == 0
    assert measured(german, "xx")["stop_word_count"] is None
    assert measured(german, None)["stop_word_count"] is None
    assert measured("我们在北京的大学学习中文。", "zh")["stop_word_count"] == 4  # 的 在 我 们
    assert measured("ΚΑΙ ΤΟΥΣ", "el")["stop_word_count"] == 1
    assert all(len(word.encode()) <= 64 for words in stop_words().lists for word in words)


def test_words_are_long_or_short_for_their_language() -> None:
    tamil = "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர் அவர்கள் மதிப்பிலும் உரிமைகளிலும்"
    assert measured(tamil, "ta")["relative_word_length"] == pytest.approx(1.0, abs=0.15)
    assert measured("We are all here.", "en")["relative_word_length"] == pytest.approx(
        13 / 4 / 5.09
    )
    assert measured("We are all here.", "xx")["relative_word_length"] is None


def test_lines_of_code() -> None:
    found = measured("x = 1\n\n  return x  \n" + "y" * 50)
    assert found["longest_line"] == found["longest_word"] == 50
    assert found["mean_line_length"] == pytest.approx((5 + 8 + 50) / 3)
    assert found["alphanumeric_fraction"] == pytest.approx((2 + 7 + 50) / 70)


def test_lines_of_thai_need_no_full_stop() -> None:
    assert measured("มนุษย์ทั้งหลายเกิดมามีอิสระ", "th")["terminal_punctuation_fraction"] is None
    assert measured("人人生而自由。", "zh")["terminal_punctuation_fraction"] == 1
    assert measured("ሰው ሁሉ ነፃ ነው።", "am")["terminal_punctuation_fraction"] == 1
