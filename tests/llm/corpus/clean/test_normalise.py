"""Normalisation touches line ends, blank lines and control characters, and nothing else."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.clean.normalise import normalise


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\r\nb\rc\n\n\n\n\n\nd", "a\nb\nc\n\n\nd"),
        ("a\n\n\nb", "a\n\n\nb"),
        ("\n\n  indented\t \n\n", "  indented"),
        ("page one\fpage two\u2028line", "page one\npage two\nline"),
        ("nul\0 bell\a esc\x1b[0m tab\tkept", "nul bell esc[0m tab\tkept"),
        ("trailing\u00a0\u3000\nnext", "trailing\nnext"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("e\u0301 ﬁ Ｆ “quotes”  two  spaces", "e\u0301 ﬁ Ｆ “quotes”  two  spaces"),
        (" \n \n", ""),
    ],
)
def test_known_texts(raw: str, clean: str) -> None:
    assert normalise(raw) == clean


@given(st.text(st.characters()))
def test_idempotent_and_encodable(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    once.encode()
    assert "\n\n\n\n" not in once
    assert all(unicodedata.category(c) != "Cc" or c in "\n\t" for c in once)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"])))
def test_text_without_spaces_is_left_alone(text: str) -> None:
    assert normalise(text) == text


def test_a_long_run_of_spaces_within_a_line_takes_linear_time() -> None:
    # Tried from every space of the run this takes minutes.
    text = "padded" + " " * 300_000 + "out"
    assert normalise(text + "   \n" + text) == text + "\n" + text
