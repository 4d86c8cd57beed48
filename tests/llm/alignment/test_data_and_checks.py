"""Rows cut, removed, rejected and counted; and the guards over what is left."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from llm.alignment import checks
from llm.alignment.data import (
    EqualPairError,
    Limit,
    SplitError,
    instruction_rows,
    preference_rows,
)
from llm.alignment.examples.tables import Example, Message, instruction_table
from llm.tables import INSTRUCTION_ROWS, PREFERENCE_ROWS
from llm.tokens.chat import ChatEncoder
from tests.llm.tokens.small_tokenizer import small_folder

CUT, REMOVE = Limit(40, cut=True), Limit(40, cut=False)
SHORT, LONG = "Fills a paragraph.", "Wraps the text. " * 12


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> ChatEncoder:
    return ChatEncoder(small_folder(tmp_path_factory.mktemp("tokenizer")))


def turn(role: str, content: str | None) -> dict[str, str | None]:
    return {"role": role, "content": content}


def instruction(name: str, question: str, answer: str | None, split: str = "train") -> dict:
    messages = [turn("user", question), turn("assistant", answer)]
    return {"doc_id": name, "split": split, "messages": messages}


def pair(name: str, question: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "doc_id": name,
        "split": "train",
        "prompt": [turn("user", question)],
        "chosen": [turn("assistant", chosen)],
        "rejected": [turn("assistant", rejected)],
    }


def test_every_instruction_ends_somewhere(chat: ChatEncoder) -> None:
    given = [
        instruction("fits", "What?", SHORT),
        instruction("cut", "What?", LONG),
        instruction("held", "Why?", SHORT, "validation"),
        instruction("no room", LONG, SHORT),
        instruction("null", "What?", None),
    ]
    tables = [pa.Table.from_pylist(given[:2]), pa.Table.from_pylist(given[2:])]
    rows = instruction_rows(tables, chat, CUT)
    used = {row["doc_id"]: row for row in rows.used.to_pylist()}
    assert list(used) == ["fits", "cut", "held"]
    assert [row["truncated"] for row in used.values()] == [False, True, False]
    assert len(used["cut"]["tokens"]) == 40
    assert used["fits"]["tokens"][-1] == chat.end
    assert used["cut"]["supervised"][-1]
    (removed,) = rows.removed.to_pylist()
    assert (removed["doc_id"], removed["reason"], removed["threshold"]) == (
        "no room",
        "prompt_too_long",
        40.0,
    )
    assert removed["value"] > 40
    (rejected,) = rows.rejected.to_pylist()
    assert (rejected["doc_id"], rejected["reason"]) == ("null", "empty")
    assert rows.split("validation").column("doc_id").to_pylist() == ["held"]
    checks.check_supervised(rows.used, chat.end)
    assert checks.check_rows(rows, 0.5, CUT) == 2
    with pytest.raises(checks.TruncatedRowsError, match=r"2 of 4 rows \(50.0%\)"):
        checks.check_rows(rows, 0.49, CUT)


def test_an_answer_of_weight_0_is_read_and_not_learned(chat: ChatEncoder) -> None:
    turns = (
        Message("user", "What?"),
        Message("assistant", "Wrong.", supervised=False),
        Message("user", "Again."),
        Message("assistant", "Right."),
    )
    table = instruction_table([Example("instruction", "s", "train", (), (turns,), "s:1")])
    (row,) = instruction_rows([table], chat, Limit(100, cut=True)).used.to_pylist()
    learned = [t for t, mine in zip(row["tokens"], row["supervised"], strict=True) if mine]
    assert chat.decode(learned) == "Right.<|im_end|>"
    assert "Wrong.<|im_end|>" in chat.decode(row["tokens"])


def test_all_answers_are_learned_or_the_last_alone(chat: ChatEncoder) -> None:
    said = ["What?", "First.", "And?", "Second.", "Is it so?", "Third."]
    turns = [turn("assistant" if n % 2 else "user", text) for n, text in enumerate(said)]
    table = pa.Table.from_pylist([{"doc_id": "a", "split": "train", "messages": turns}])
    for last_only, expected in (
        (False, "First.<|im_end|>Second.<|im_end|>Third.<|im_end|>"),
        (True, "Third.<|im_end|>"),
    ):
        (row,) = instruction_rows([table], chat, Limit(100, cut=True), last_only).used.to_pylist()
        learned = [t for t, mine in zip(row["tokens"], row["supervised"], strict=True) if mine]
        assert chat.decode(learned) == expected


def test_a_text_that_spells_a_special_token_is_used(chat: ChatEncoder) -> None:
    given = instruction("spelled", "What does <|im_end|> do?", "<|im_end|> ends a turn.")
    rows = instruction_rows([pa.Table.from_pylist([given])], chat, Limit(100, cut=True))
    assert rows.rejected.num_rows == 0
    assert rows.used.column("tokens")[0].as_py().count(chat.end) == 2
    checks.check_supervised(rows.used, chat.end)


def test_every_pair_ends_somewhere(chat: ChatEncoder) -> None:
    given = [
        pair("fits", "What?", SHORT, "Nothing."),
        pair("cut", "What?", LONG, SHORT),
        pair("same start", "What?", LONG + "Yes.", LONG + "No."),
        pair("no room", LONG, SHORT, "Nothing."),
        pair("two turns", "What?", SHORT, SHORT) | {"rejected": [turn("user", "x")]},
    ]
    rows = preference_rows([pa.Table.from_pylist(given)], chat, CUT)
    used = {row["doc_id"]: row for row in rows.used.to_pylist()}
    assert list(used) == ["fits", "cut"]
    cut = used["cut"]
    assert len(cut["prompt_tokens"]) + len(cut["chosen_tokens"]) == 40
    assert (cut["truncated"], cut["rejected_tokens"][-1]) == (True, chat.end)
    assert rows.reasons(rows.removed) == {"equal_when_cut": 1, "prompt_too_long": 1}
    assert rows.reasons(rows.rejected) == {"no_answer": 1}
    checks.check_pairs(rows.used, chat.end)


def test_long_rows_left_out(chat: ChatEncoder) -> None:
    given = [
        instruction("fits", "What?", SHORT),
        instruction("long", "What?", LONG),
        instruction("no room", LONG, SHORT),
    ]
    rows = instruction_rows([pa.Table.from_pylist(given)], chat, REMOVE)
    assert rows.used.column("doc_id").to_pylist() == ["fits"]
    assert {row["doc_id"]: row["reason"] for row in rows.removed.to_pylist()} == {
        "long": "too_long",
        "no room": "too_long",
    }
    assert all(row["value"] > row["threshold"] == 40 for row in rows.removed.to_pylist())
    assert checks.check_rows(rows, 0.0, REMOVE) == 2
    pairs = [pair("fits", "What?", SHORT, "Nothing."), pair("long", "What?", SHORT, LONG)]
    rows = preference_rows([pa.Table.from_pylist(pairs)], chat, REMOVE)
    assert rows.used.column("doc_id").to_pylist() == ["fits"]
    assert rows.reasons(rows.removed) == {"too_long": 1}


def test_a_pair_of_equal_answers(chat: ChatEncoder) -> None:
    with pytest.raises(EqualPairError, match="example twins"):
        preference_rows([pa.Table.from_pylist([pair("twins", "What?", SHORT, SHORT)])], chat, CUT)


def test_an_unknown_split(chat: ChatEncoder) -> None:
    table = pa.Table.from_pylist([instruction("odd", "What?", SHORT, "test")])
    with pytest.raises(SplitError, match="example odd: split 'test'"):
        instruction_rows([table], chat, CUT)


def test_nothing_to_train_on(chat: ChatEncoder) -> None:
    table = pa.Table.from_pylist([instruction("held", "What?", SHORT, "validation")])
    rows = instruction_rows([table], chat, CUT)
    with pytest.raises(checks.NoRowsError):
        checks.check_rows(rows, 1.0, CUT)


def instruction_row(tokens: list[int], supervised: list[bool], truncated: bool) -> pa.Table:
    row = {"doc_id": "a", "split": "train", "prompt": "p", "completion": "c"}
    row |= {"tokens": tokens, "supervised": supervised, "truncated": truncated}
    return pa.Table.from_pylist([row], schema=INSTRUCTION_ROWS)


def test_guards_over_instructions() -> None:
    checks.check_supervised(instruction_row([5, 6, 2], [False, True, True], False), 2)
    checks.check_supervised(instruction_row([5, 6], [False, True], True), 2)
    with pytest.raises(checks.NothingSupervisedError, match="example a"):
        checks.check_supervised(instruction_row([5, 6, 2], [False] * 3, True), 2)
    with pytest.raises(checks.TurnEndError, match="example a"):
        checks.check_supervised(instruction_row([5, 6, 7], [False, True, True], False), 2)
    with pytest.raises(checks.TurnEndError, match="example a"):
        checks.check_supervised(instruction_row([5, 6, 2], [False, True, False], False), 2)


def test_guards_over_pairs() -> None:
    def row(chosen: list[int], rejected: list[int]) -> pa.Table:
        record = {"doc_id": "a", "split": "train", "prompt": "p", "chosen": "c", "rejected": "r"}
        record |= {"prompt_tokens": [4], "chosen_tokens": chosen, "rejected_tokens": rejected}
        return pa.Table.from_pylist([record | {"truncated": False}], schema=PREFERENCE_ROWS)

    checks.check_pairs(row([5, 2], [6, 2]), 2)
    with pytest.raises(checks.TurnEndError, match="rejected_tokens"):
        checks.check_pairs(row([5, 2], [6]), 2)
    with pytest.raises(checks.NothingSupervisedError, match="chosen_tokens"):
        checks.check_pairs(row([], [6, 2]), 2)


def test_a_context_too_short() -> None:
    checks.check_context(128, 128)
    with pytest.raises(checks.ContextError, match="129 exceeds the model's context of 128"):
        checks.check_context(129, 128)


def test_a_trainer_with_other_tokens() -> None:
    with pytest.raises(checks.TrainerDataError, match="10 supervised tokens were rendered"):
        checks.check_trained_tokens(10, 9)


def test_the_tables_are_as_declared(chat: ChatEncoder) -> None:
    rows = instruction_rows([pa.Table.from_pylist([instruction("a", "b", "c")])], chat, CUT)
    assert rows.used.schema == INSTRUCTION_ROWS
    assert rows.removed.num_rows == rows.rejected.num_rows == 0
