"""Compiled code and Python count the same in every text."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.corpus.text_metrics import characters, text_counts
from llm.corpus.text_metrics.languages import lists_of, stop_words
from llm.corpus.text_metrics.text_counts import COUNTS, NO_LIST, StopWords
from tests.llm.corpus.test_words import TEXTS

DATA = Path(__file__).parents[4].parent / "shared" / "data"
WORDS = StopWords((("the", "of"), ("的", "ที่"), ("ça", "σας")), (False, True, False))
ODD = (
    "ab \n.…#@東京タワーกั\u0301\u200b\u200d\u00ad用HT“”-*•ΣςİK½٣\u2028\x1c"
    "\U0001e8d0\U00016f51\U00020000\ue000\U000e0100\U0010ffff"
)


def both(texts: list[str], lists: list[int], words: StopWords = WORDS) -> Iterator[str]:
    """What the two say otherwise, in words."""
    array = pa.array(texts, pa.string())
    made, plain = (
        text_counts.text_counts(array, words, lists),
        text_counts._plain(array, words, lists),
    )
    for row, column in np.argwhere(made != plain).tolist():
        yield f"{texts[row]!r}: {COUNTS[column]} {made[row, column]} != {plain[row, column]}"


@pytest.fixture(autouse=True)
def _compiles() -> None:
    if text_counts._library() is None:
        pytest.skip("no C compiler on this machine")


def test_texts_of_many_scripts() -> None:
    texts = list(TEXTS.values())
    for chosen in (NO_LIST, 0, 1, 2):
        assert list(both(texts, [chosen] * len(texts))) == []


@settings(max_examples=300)
@given(st.text(), st.integers(NO_LIST, 2))
def test_any_text(text: str, chosen: int) -> None:
    assert list(both([text], [chosen])) == []


def test_odd_characters_beside_each_other() -> None:
    draw = random.Random(5)
    pieces = [*ODD, "the ", "THE", "of", " of ", "ÇA ", "ΣΑΣ ", "...", "- ", "\n\n"]
    texts = ["".join(draw.choices(pieces, k=draw.randint(0, 60))) for _ in range(2_000)]
    assert list(both(texts, [n % 4 - 1 for n in range(len(texts))])) == []


def test_texts_that_repeat_themselves() -> None:
    draw = random.Random(6)
    pieces = ["a ", "b ", "ccc ", "a b ccc ", "line\n", "other line\n\n", "東京"]
    texts = ["".join(draw.choices(pieces, k=draw.randint(0, 120))) for _ in range(400)]
    assert list(both(texts, [NO_LIST] * len(texts))) == []


def test_part_of_an_array_is_counted_by_itself() -> None:
    array = pa.array(["one two", "three four five", "six"], pa.string())[1:]
    found = text_counts.text_counts(array, WORDS, [NO_LIST] * 2)
    assert found[:, COUNTS.index("words")].tolist() == [3, 1]
    assert text_counts.text_counts(pa.array([], pa.string()), WORDS, []).shape == (0, len(COUNTS))


def test_stories_in_their_own_languages() -> None:
    path = DATA / "lid" / "storybooks_12lang.jsonl.gz"
    if not path.is_file():
        pytest.skip("shared/data/lid is not beside the checkout")
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        records = [json.loads(line) for line in stream][::4]
    lists = lists_of([record["lang"] for record in records])
    assert list(both([record["text"] for record in records], lists, stop_words())) == []


def test_every_character_is_folded_for_itself() -> None:
    codes = characters.folded_codes()
    for code in range(len(codes)):
        if not 0xD800 <= code < 0xE000:
            assert chr(codes[code]) == characters.folded(chr(code))
    for code in range(len(codes), 0x110000):
        assert chr(code).lower() == chr(code)
