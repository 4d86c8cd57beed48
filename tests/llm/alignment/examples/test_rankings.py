"""Preferences out of several answers with a score or a rank each."""

from __future__ import annotations

from typing import Any

import pytest

from llm.alignment.examples.fields import Fields
from llm.alignment.examples.messages import UnusableRowError
from llm.alignment.examples.shapes import preference
from tests.llm.alignment.examples.example_rows import ASK, plain

THREE = ["bad", "good", "fair"]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Why?", "responses": THREE, "scores": [1, 9.5, 4]},
        {"prompt": "Why?", "answers": THREE, "ratings": ["1", "5", "3"]},
        {"prompt": "Why?", "responses": THREE, "ranks": [2, 0, 1]},
        {"prompt": "Why?", "candidates": THREE, "rank": [3, 1, 2]},
        {
            "instruction": "Why?",
            "completions": [
                {"response": text, "overall_score": score}
                for text, score in zip(THREE, (1.0, 8.0, 7.5), strict=True)
            ],
        },
        {
            "prompt": plain(ASK),
            "answers": [
                {"text": text, "rank": r} for text, r in zip(THREE, (9, 0, 4), strict=True)
            ],
        },
        # Of several that are equally good, or bad, the first.
        {"prompt": "Why?", "responses": [*THREE, "worse", "as good"], "scores": [1, 9, 4, 1, 9]},
        {
            "prompt": "Why?",
            "chosen": "good",
            "rejected": "bad",
            "score_chosen": 2,
            "score_rejected": 1,
        },
    ],
)
def test_the_best_is_preferred_to_the_worst(record: dict[str, Any]) -> None:
    fields = Fields(record)
    prompt, chosen, rejected = preference(fields)
    assert [message.content for message in (*prompt, *chosen, *rejected)] == ["Why?", "good", "bad"]
    assert not fields.unread


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"responses": THREE, "scores": [1, 1, 1]}, "same_scores"),
        ({"responses": ["one"], "scores": [1]}, "same_scores"),
        ({"responses": THREE, "scores": [1, 2]}, "wrong_type"),
        ({"responses": THREE, "scores": [1, 2, "many"]}, "wrong_type"),
        ({"responses": THREE, "scores": [1, 2, float("nan")]}, "wrong_type"),
        ({"responses": THREE, "scores": [1, 2, True]}, "wrong_type"),
        ({"responses": ["a", {"x": 1}], "scores": [1, 2]}, "wrong_type"),
        ({"responses": THREE}, "unknown_shape"),
        ({"completions": [{"response": "a", "score": 1}, {"response": "b"}]}, "unknown_shape"),
        ({"responses": ["same", "same"], "scores": [1, 2]}, "same_answers"),
        ({"chosen": "a", "rejected": "b", "chosen_score": 1, "rejected_score": 1}, "same_scores"),
        (
            {"chosen": "a", "rejected": "b", "chosen_score": 1, "rejected_score": 3},
            "scores_contradict",
        ),
    ],
)
def test_rows_that_prefer_nothing(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableRowError) as caught:
        preference({"prompt": "Why?", **record})
    assert caught.value.reason == reason
