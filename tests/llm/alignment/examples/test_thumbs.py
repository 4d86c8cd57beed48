"""Thumbs as people write them down, and pairs taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llm.alignment.examples.messages import UnusableRowError
from llm.alignment.examples.shapes import instruction, thumb
from llm.alignment.examples.tables import (
    PREFERENCES,
    THUMBS,
    Dropped,
    Example,
    Message,
    thumb_table,
)
from llm.alignment.examples.unpaired import unpaired
from tests.llm.alignment.examples.example_rows import (
    ASK,
    BACK,
    OTHER,
    SAY,
    plain,
    read,
    shared_gpt,
    write,
)

ROW = {"prompt": "Why?", "completion": "So."}
UP = [True, 1, 1.0, "+1", "up", "Thumbs up", "THUMBS_UP", "thumbs-up", "👍", "👍🏽", ":+1:", "like"]
UP += ["upvote", "good", " Yes ", "positive", "desirable", "accepted", "true", "1"]
DOWN = [False, 0, -1, "-1", "down", "thumbs_down", "thumbsDown", "👎", "👎🏿", ":-1:", "dislike"]
DOWN += ["downvoted", "bad", "no", "negative", "undesirable", "rejected", "False", "0"]
NAMES = ["label", "kto_tag", "desirable", "thumb", "thumbs", "feedback", "vote", "reaction"]


@pytest.mark.parametrize(("values", "up"), [(UP, True), (DOWN, False)])
def test_spellings_of_a_thumb(values: list[Any], up: bool) -> None:
    for value in values:
        for name in NAMES:
            assert thumb(ROW | {name: value}) == ((ASK,), (SAY._replace(supervised=up),))
        for name in ("thumbs_down", "downvoted", "undesirable"):
            assert thumb(ROW | {name: value})[1][0].supervised is not up


@pytest.mark.parametrize(
    ("record", "prompt", "up"),
    [
        ({"messages": plain(ASK, SAY), "label": True}, (ASK,), True),
        (
            {"conversations": shared_gpt(ASK, OTHER, BACK, SAY), "vote": -1},
            (ASK, OTHER, BACK),
            False,
        ),
        ({"prompt": plain(ASK), "completion": plain(SAY), "label": False}, (ASK,), False),
        ({"instruction": "Why?", "output": "So.", "feedback": {"thumb": "down"}}, (ASK,), False),
        ({**ROW, "feedback": {"score": 1, "comment": "Fine."}}, (ASK,), True),
        ({"messages": [*plain(ASK), {**plain(SAY)[0], "rating": "thumbsUp"}]}, (ASK,), True),
        # What is said of the row goes before what a message has.
        ({"messages": [*plain(ASK), {**plain(SAY)[0], "vote": 1}], "thumb": "👎"}, (ASK,), False),
    ],
)
def test_shapes_of_thumbs(record: Any, prompt: Any, up: bool) -> None:
    assert thumb(record) == (prompt, (Message("assistant", "So.", up),))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (ROW, "no_thumb"),
        (ROW | {"label": None}, "no_thumb"),
        (ROW | {"label": "science"}, "unknown_thumb"),
        (ROW | {"rating": 4}, "unknown_thumb"),
        (ROW | {"label": 0.5}, "unknown_thumb"),
        (ROW | {"label": True, "thumbs_down": True}, "thumbs_contradict"),
        (ROW | {"label": True, "weight": 0}, "nothing_to_learn"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No.", "label": True}, "unknown_shape"),
        ({"messages": plain(ASK), "label": True}, "no_answer"),
        ({"messages": plain(SAY), "label": True}, "no_question"),
    ],
)
def test_rows_that_are_no_thumb(record: Any, reason: str) -> None:
    with pytest.raises(UnusableRowError) as caught:
        thumb(record)
    assert caught.value.reason == reason


def test_an_answer_with_a_thumb_down_is_no_instruction() -> None:
    for name in ("thumb", "thumbs_up", "liked"):
        assert instruction(ROW | {name: "up"}) == ((ASK, SAY),)
        with pytest.raises(UnusableRowError) as caught:
            instruction(ROW | {name: "down"})
        assert caught.value.reason == "bad_answer"
    # Of what somebody classified nothing is said.
    assert instruction(ROW | {"label": "negative", "reaction": "👎"}) == ((ASK, SAY),)


def test_a_file_of_thumbs(tmp_path: Path) -> None:
    rows = [ROW | {"label": up, "id": 7} for up in (True, False, "?")]
    outcomes = read(write(tmp_path / "t.jsonl", rows), "thumb", 0)
    kept = [one for one in outcomes if isinstance(one, Example)]
    # Two people may think differently: they are two examples.
    assert len({one.doc_id for one in kept}) == len({one.same() for one in kept}) == 2
    (lost,) = (one for one in outcomes if isinstance(one, Dropped))
    assert (lost.kind, lost.reason) == ("thumb", "unknown_thumb")
    table = thumb_table(kept)
    assert table.schema == THUMBS
    assert table.column("desirable").to_pylist() == [True, False]
    assert table.column("answer").to_pylist() == [plain(SAY)] * 2
    assert table.column("prompt").to_pylist() == [plain(ASK)] * 2


def test_pairs_are_taken_apart() -> None:
    head = {"source": "s", "split": "train", "parent_doc_ids": ["p"], "prompt": plain(ASK)}
    pair = {**head, "doc_id": "0" * 32, "chosen": plain(SAY), "rejected": plain(OTHER)}
    pairs = [pair, pair | {"doc_id": "1" * 32, "split": "validation"}]
    (found,) = unpaired([pa.Table.from_pylist(pairs, schema=PREFERENCES)])
    rows = found.to_pylist()
    assert len({row["doc_id"] for row in rows}) == 4
    said = [(row["split"], row["answer"], row["desirable"]) for row in rows]
    assert said == [
        (split, plain(answer), answer == SAY)
        for split in ("train", "validation")
        for answer in (SAY, OTHER)
    ]
    assert all(
        {name: row[name] for name in head} | {"split": 0} == head | {"split": 0} for row in rows
    )
