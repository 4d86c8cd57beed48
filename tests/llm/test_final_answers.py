"""Numbers and letters in what models say."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.evaluation_sets import DATA
from llm.final_answers import parse


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She makes 9 * 2 = $18 every day.\n#### 18", "18"),
        ("so 16 - 3 - 4 = 9 eggs, and that is 18 dollars.", "18"),
        ("It costs $1,234.50 in all.", "1234.5"),
        ("#### 1,000", "1000"),
        ("#### -5 or 7", "-5"),
        ("from 16-3 it follows", "3"),
        ("the change is -3", "-3"),
        ("007.00", "7"),
        ("-0.0", "0"),
        (".5", "0.5"),
        ("100", "100"),
        ("12345678901234567890123456789012345", "12345678901234567890123456789012345"),
        ("no idea", None),
        ("5 apples #### none", None),
    ],
)
def test_numbers(text: str, number: str | None) -> None:
    assert parse("number", text) == number


@given(st.integers(-(10**40), 10**40))
def test_any_number_is_found_however_it_is_spelled(number: int) -> None:
    assert parse("number", f"The answer is {number:,}.") == str(number)
    assert parse("number", f"#### {number}.00") == str(number)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (" C", "C"),
        ("B.", "B"),
        ("(D) because it is so", "D"),
        ("A cat sat there. The answer is (B).", "B"),
        ("Answer: C\nand not A", "C"),
        ("the answer is a lie", None),
        ("It is (A) or rather (C)", "C"),
        ("A cat sat", None),
        ("**B**", "B"),
        ("", None),
    ],
)
def test_letters(text: str, letter: str | None) -> None:
    assert parse("letter", text) == letter


def test_texts() -> None:
    assert parse("text", " Paris\n") == "Paris"


def test_every_answer_of_gsm8k_has_its_number() -> None:
    path = DATA / "gsm8k_test.jsonl.gz"
    if not path.is_file():
        pytest.skip("shared/data/eval is not beside the checkout")
    lines = gzip.decompress(path.read_bytes()).splitlines()
    answers = [json.loads(line)["answer"] for line in lines]
    wanted = [answer.rpartition("#### ")[2].replace(",", "") for answer in answers]
    assert [parse("number", answer) for answer in answers] == wanted
