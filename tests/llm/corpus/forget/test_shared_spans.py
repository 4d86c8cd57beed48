"""Every run that a text shares with a removed one is found, and none that is not there."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.forget import shared_spans
from llm.corpus.forget.shared_spans import RemovedTexts, Shared


def search(removed: list[str], texts: list[str | None], window: int) -> dict[int, Shared]:
    column = pa.chunked_array([pa.array(texts[:1], pa.string()), pa.array(texts[1:], pa.string())])
    ids = pa.chunked_array([pa.array([str(place) for place in range(len(texts))])])
    found = RemovedTexts([text.encode() for text in removed], window)
    return {int(each.doc_id): each for each in found.shared_with(ids, column)}


def by_hand(removed: list[str], text: str, window: int) -> tuple[int, int]:
    """(longest, covered): each run of the text looked up in the removed ones."""
    data, marks = text.encode(), [False] * len(text.encode())
    hits = []
    for place in range(len(data) - window + 1):
        if any(data[place : place + window] in other.encode() for other in removed):
            hits.append(place)
            marks[place : place + window] = [True] * window
    longest = run = 0
    for number, place in enumerate(hits):
        run = run + 1 if number and hits[number - 1] == place - 1 else window
        longest = max(longest, run)
    return longest, sum(marks)


WORDS = st.lists(st.sampled_from(["a", "b", "ab", "é", "aab"]), max_size=30).map("".join)


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=5), st.integers(1, 6))
def test_it_finds_what_a_search_by_hand_finds(
    removed: list[str], texts: list[str], window: int
) -> None:
    found = search(removed, list(texts), window)
    for place, text in enumerate(texts):
        longest, covered = by_hand(removed, text, window)
        assert (place in found) == (longest > 0)
        if longest:
            assert (found[place].longest, found[place].shared_bytes) == (longest, covered)
            assert found[place].size == len(text.encode())


@pytest.mark.parametrize("block", [64, 97, 1 << 21])
def test_runs_across_blocks_and_none_across_texts(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(shared_spans, "_BLOCK", block)
    draw = random.Random(5)
    secret = "".join(draw.choices("abcdefghij ", k=400))
    noise = ["".join(draw.choices("klmnopqrst ", k=draw.randint(0, 300))) for _ in range(40)]
    texts: list[str | None] = [*noise, noise[0] + secret[100:150] + noise[1], None]
    texts += [secret[:30], secret[30:79], noise[2] + secret[7:207], secret[1:50]]
    found = search([secret, "too short"], texts, 50)
    assert {place: each.longest for place, each in found.items()} == {40: 50, 44: 200}
    assert found[40].excerpt == secret[100:150]
    assert found[44].share == pytest.approx(200 / (200 + len(noise[2])))


def test_nothing_removed_is_found_nowhere() -> None:
    assert search([], ["a text"], 3) == search(["ab"], ["ab ab ab"], 3) == {}
