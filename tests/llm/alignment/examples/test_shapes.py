"""Rows in the shapes people keep them in, and what is wrong with the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llm.alignment.examples.messages import UnusableRowError
from llm.alignment.examples.shapes import instruction, preference, rows_in
from llm.alignment.examples.tables import Dropped, Example, Kind, Message
from tests.llm.alignment.examples.example_rows import (
    ASK,
    BACK,
    OTHER,
    SAY,
    SYSTEM,
    plain,
    read,
    shared_gpt,
    weighed,
)

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Why?", "completion": "So."}, (ASK, SAY)),
        ({"question": "Why?", "answer": "So.", "id": 7}, (ASK, SAY)),
        ({"prompt": plain(SYSTEM, ASK), "completion": plain(SAY)}, (SYSTEM, ASK, SAY)),
        ({"messages": plain(ASK, SAY, BACK, OTHER)}, (ASK, SAY, BACK, OTHER)),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
                    *plain(SAY),
                ]
            },
            (ASK, SAY),
        ),
        ({"instruction": "Why?", "input": "", "output": "So."}, (ASK, SAY)),
        (
            {"messages": [*plain(ASK, OTHER), {"role": "function", "content": "4"}, *plain(SAY)]},
            (ASK, OTHER, Message("tool", "4"), SAY),
        ),
        (
            {"instruction": "Add.", "input": "1 2", "output": "So."},
            (Message("user", "Add.\n\n1 2"), SAY),
        ),
        ({"conversations": shared_gpt(ASK, SAY), "system": "Be brief."}, (SYSTEM, ASK, SAY)),
        ({"messages": plain(ASK, SAY), "system": "Be brief."}, (SYSTEM, ASK, SAY)),
        ({"messages": plain(SYSTEM, ASK, SAY), "system": "Be long."}, (SYSTEM, ASK, SAY)),
        (
            {"conversations": shared_gpt(SYSTEM, ASK, SAY), "system_prompt": "Be long."},
            (SYSTEM, ASK, SAY),
        ),
        (
            {"system_prompt": "Be brief.", "question": "Why?", "response": "So."},
            (SYSTEM, ASK, SAY),
        ),
        ({"instruction": "Why?", "input": " \n", "output": "So."}, (ASK, SAY)),
        ({"instruction": "Why?", "input": None, "output": "So."}, (ASK, SAY)),
        (
            {"instruction": "Add.", "context": "1 2", "response": "So.", "category": "qa"},
            (Message("user", "Add.\n\n1 2"), SAY),
        ),
        ({"instruction": "Why?", "context": "", "response": "So."}, (ASK, SAY)),
        (
            {"instruction": [{"type": "text", "text": "Add."}], "question": "1?", "answer": "So."},
            (Message("user", "Add.\n\n1?"), SAY),
        ),
        (
            {"messages": [{"role": "developer", "content": "Be brief."}, *plain(ASK, SAY)]},
            (SYSTEM, ASK, SAY),
        ),
        (
            {
                "instruction": "Really?",
                "input": "",
                "output": "So.",
                "system": "Be brief.",
                "history": [["Why?", "No."]],
            },
            (SYSTEM, ASK, OTHER, BACK, SAY),
        ),
        (
            {"prompt": "Really?", "response": "So.", "history": plain(ASK, OTHER)},
            (ASK, OTHER, BACK, SAY),
        ),
        ({"prompt": "Why?", "completion": "So.", "history": []}, (ASK, SAY)),
        ({"prompt": "Why?", "completion": "So.", "label": True}, (ASK, SAY)),
        ({"prompt": "Why?", "completion": "So.", "label": "science"}, (ASK, SAY)),
        (
            {"messages": weighed(0, 1)},
            (ASK, OTHER._replace(supervised=False), BACK, SAY),
        ),
        ({"messages": weighed(1, 1)}, (ASK, OTHER, BACK, SAY)),
        ({"messages": weighed(None, True)}, (ASK, OTHER, BACK, SAY)),
        ({"messages": weighed(False, 1.0)}, (ASK, OTHER._replace(supervised=False), BACK, SAY)),
        # What follows the last answer to be learned teaches nothing.
        ({"messages": weighed(1, 0)}, (ASK, OTHER)),
        # Parquet: columns of other rows are there and null.
        ({"prompt": "Why?", "completion": "So.", "messages": None, "system": None}, (ASK, SAY)),
    ],
)
def test_shapes_of_instructions(record: Any, expected: Any) -> None:
    assert instruction(record) == (expected,)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No."}, (ASK,)),
        ({"prompt": plain(ASK), "chosen": plain(SAY), "rejected": plain(OTHER)}, (ASK,)),
        ({"chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)}, (ASK,)),
        ({"prompt": "Why?", "chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)}, (ASK,)),
        (
            {"chosen": plain(ASK, OTHER, BACK, SAY), "rejected": plain(ASK, OTHER, BACK, OTHER)},
            (ASK, OTHER, BACK),
        ),
        ({"instruction": "Why?", "output": "So.", "chosen": "So.", "rejected": "No."}, (ASK,)),
        (
            {"system": "Be brief.", "question": "Why?", "chosen": "So.", "rejected": "No."},
            (SYSTEM, ASK),
        ),
        (
            {
                "prompt": "Why?",
                "system_prompt": "Be brief.",
                "chosen": plain(ASK, SAY),
                "rejected": plain(ASK, OTHER),
            },
            (SYSTEM, ASK),
        ),
        # UltraFeedback: the prompt stated apart is stripped in the conversations, or they differ.
        ({"prompt": "Why? ", "chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)}, (ASK,)),
        (
            {
                "chosen": plain(ASK, SAY),
                "rejected": plain(Message("user", "\nWhy?"), OTHER),
            },
            (ASK,),
        ),
        (
            {
                "instruction": "Really?",
                "input": " ",
                "history": [["Why?", "No."]],
                "chosen": "So.",
                "rejected": "No.",
            },
            (ASK, OTHER, BACK),
        ),
        (
            {
                "chosen": weighed(0, 1),
                "rejected": [*weighed(0, 1)[:-1], *plain(OTHER)],
            },
            (ASK, OTHER, BACK),
        ),
        (
            {
                "conversations": shared_gpt(ASK),
                "chosen": shared_gpt(SAY)[0],
                "rejected": shared_gpt(OTHER)[0],
            },
            (ASK,),
        ),
        (
            {
                "chosen": "\n\nHuman: Why?\n\nAssistant: So.",
                "rejected": "\n\nHuman: Why?\n\nAssistant: No.",
            },
            (ASK,),
        ),
    ],
)
def test_shapes_of_preferences(record: Any, expected: Any) -> None:
    assert preference(record) == (expected, (SAY,), (OTHER,))


@pytest.mark.parametrize(
    "name", ["weight", "train", "trainable", "train_on_turn", "loss", "loss_weight"]
)
@pytest.mark.parametrize("value", [False, 0])
def test_an_answer_marked_as_not_to_be_learned(name: str, value: object) -> None:
    ask, other, back, say = plain(ASK, OTHER, BACK, SAY)
    (turns,) = instruction({"messages": [ask, other | {name: value}, back, say | {name: True}]})
    assert [turn.supervised for turn in turns if turn.role == "assistant"] == [False, True]


@pytest.mark.parametrize("blank", ["", " \n", None, [], [{"type": "text", "text": ""}]])
def test_a_blank_system_prompt_is_none(blank: object) -> None:
    said = [{"role": " User ", "content": "Why?"}, {"role": "assistant ", "content": "So."}]
    for record in (
        {"messages": [{"role": "system", "content": blank}, *said]},
        {"conversations": [{"from": "system", "value": blank}, *shared_gpt(ASK, SAY)]},
        {"system": blank, "prompt": "Why?", "completion": "So."},
    ):
        assert instruction(record) == ((ASK, SAY),)
    both = {"system": blank, "system_prompt": "Be brief.", "prompt": "Why?", "completion": "So."}
    assert instruction(both) == ((SYSTEM, ASK, SAY),)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "Why?"}, "unknown_shape"),
        ({"text": "So."}, "unknown_shape"),
        ({"prompt": "Why?", "completion": "  "}, "empty_text"),
        ({"prompt": "Why?", "completion": 4}, "wrong_type"),
        ({"instruction": "Why?", "output": None}, "empty_text"),
        ({"messages": plain(ASK, SAY, BACK)}, "no_answer"),
        ({"messages": plain(ASK)}, "no_answer"),
        ({"messages": plain(SAY)}, "no_question"),
        ({"messages": plain(SYSTEM, SAY)}, "no_question"),
        ({"messages": plain(ASK, SAY, OTHER)}, "no_question"),
        ({"messages": []}, "empty_text"),
        ({"messages": "Why?"}, "wrong_type"),
        ({"messages": ["Why?"]}, "wrong_type"),
        ({"messages": [{"role": "tool", "content": "4"}, *plain(SAY)]}, "no_question"),
        ({"messages": [{"role": "narrator", "content": "4"}, *plain(SAY)]}, "unknown_role"),
        ({"prompt": "Why?", "completion": "\ud800"}, "undecodable"),
        ({"prompt": "Why?", "completion": "No.", "label": False}, "bad_answer"),
        ({"prompt": plain(ASK), "completion": plain(OTHER), "label": 0}, "bad_answer"),
        ({"prompt": "Why?", "completion": "No.", "label": "False"}, "bad_answer"),
        ({"messages": plain(ASK, OTHER), "kto_tag": False}, "bad_answer"),
        *(
            ({"prompt": "Why?", "completion": "No.", name: value}, "bad_answer")
            for name in ("label", "kto_tag", "desirable")
            for value in (False, "no", "Bad ", -1, "-1", "undesirable")
        ),
        *(
            ({"prompt": "Why?", "completion": "No.", name: value}, "nothing_to_learn")
            for name in ("weight", "train", "trainable", "loss_weight")
            for value in (False, 0, 0.0, "false")
        ),
        ({"messages": [{"role": "system", "content": ""}]}, "empty_text"),
        ({"messages": weighed(0, 0)}, "nothing_to_learn"),
        ({"messages": weighed(0.5, 1)}, "bad_weight"),
        ({"prompt": "Why?", "completion": "So.", "history": "Before."}, "wrong_type"),
        ({"prompt": "Why?", "completion": "So.", "history": [["a", "b", "c"]]}, "wrong_type"),
        ({"instruction": "Add.", "input": 3, "output": "So."}, "wrong_type"),
    ],
)
def test_rows_that_are_no_instruction(record: Any, reason: str) -> None:
    with pytest.raises(UnusableRowError) as caught:
        instruction(record)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "Why?", "chosen": "So."}, "unknown_shape"),
        ({"chosen": "So.", "rejected": "No."}, "no_question"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": " So.\n"}, "same_answers"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": ""}, "empty_text"),
        ({"chosen": plain(ASK, SAY), "rejected": plain(ASK)}, "no_answer"),
        (
            {"chosen": plain(ASK, SAY, BACK, SAY), "rejected": plain(ASK, OTHER, BACK, SAY)},
            "diverges_early",
        ),
        (
            {"prompt": "Who?", "chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)},
            "other_prompt",
        ),
        ({"chosen": plain(SAY), "rejected": plain(OTHER)}, "no_question"),
        (
            {"chosen": weighed(1, 0), "rejected": weighed(1, 1)[:-1] + plain(OTHER)},
            "nothing_to_learn",
        ),
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No.", "weight": 0}, "nothing_to_learn"),
    ],
)
def test_rows_that_are_no_preference(record: Any, reason: str) -> None:
    with pytest.raises(UnusableRowError) as caught:
        preference(record)
    assert caught.value.reason == reason


def test_instances_are_rows_of_their_own() -> None:
    record = {"instruction": "Add.", "instances": [{"input": "1", "output": "2"}, {"output": "3"}]}
    assert [instruction(row)[0][-1].content for row in rows_in(record)] == ["2", "3"]


@pytest.mark.parametrize(
    ("name", "kind", "examples", "rejected"),
    [
        ("sft/gsm8k_train.jsonl.gz", "instruction", 7473, {}),
        ("sft/rasbt_instruction_1100.json", "instruction", 1100, {}),
        ("sft/selfinstruct_seed_175.jsonl", "instruction", 175, {}),
        ("sft/selfinstruct_user_oriented_252.jsonl", "instruction", 252, {}),
        ("pref/dpo_en_demo_300.json.gz", "preference", 299, {}),
        ("pref/rasbt_preference_1100.json", "preference", 1094, {"same_answers": 6}),
        (
            "pref/hh_rlhf_harmless_base_test.jsonl.gz",
            "preference",
            2303,
            {"diverges_early": 5, "empty_text": 4},
        ),
    ],
)
def test_published_files_are_understood(
    name: str, kind: Kind, examples: int, rejected: dict[str, int]
) -> None:
    if not (DATA / name).is_file():
        pytest.skip(f"needs {name} of the shared data beside the checkout")
    found = read(DATA / name, kind)
    assert sum(isinstance(o, Example) for o in found) == examples
    assert Counter(o.reason for o in found if isinstance(o, Dropped)) == rejected
