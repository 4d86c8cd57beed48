"""Validation conversations are measured on exactly the tokens that a model is tuned on."""

from __future__ import annotations

import pyarrow as pa
import pytest

from llm.alignment import data
from llm.evaluation.conversations import exchange, tokenise
from llm.tokens.chat import ChatEncoder
from tests.llm.evaluation.tiny_models import (
    instruction_rows,
    model_folder,
    preference_rows,
    said,
    tiny_model,
)

CONTEXT = 96


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ChatEncoder:
    folder = model_folder(tmp_path_factory.mktemp("models") / "base", tiny_model(CONTEXT))
    return ChatEncoder(folder)


def test_exchanges_end_with_the_turn(encoder: ChatEncoder) -> None:
    turns = [said("user", "Why?"), said("assistant", "So."), said("user", "\nAnd?")]
    found = exchange(encoder, "x", [*turns, said("assistant", "\n Therefore.\n")])
    assert encoder.decode(found.prompt) == (
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n"
        "<|im_start|>user\n\nAnd?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert found.prompt == encoder.prompt(turns)
    assert encoder.decode(found.answer) == "\n Therefore.\n<|im_end|>"
    assert found.answer[-1] == encoder.end
    assert found.predictions == len(found.prompt) + len(found.answer) - 1


def test_rows_that_cannot_be_measured_are_counted(encoder: ChatEncoder) -> None:
    rows = instruction_rows()
    long = {**rows[0], "messages": [said("user", "word " * 200), said("assistant", "Yes.")]}
    asked = {**rows[0], "messages": [said("user", "Why?")]}
    made = tokenise(encoder, [*rows, long, asked], preference_rows(), CONTEXT)
    assert len(made.exchanges) == len(rows)
    assert made.left_out == {"instructions": {"too_long": 1, "no_answer": 1}, "preferences": {}}
    shortest = min(exchange.predictions for exchange in made.exchanges)
    few = tokenise(encoder, rows, preference_rows(), shortest)
    assert {exchange.predictions for exchange in few.exchanges} == {shortest}
    assert len(few.pairs) + few.left_out["preferences"]["too_long"] == len(made.pairs)


def test_answers_are_those_a_model_is_tuned_on(encoder: ChatEncoder) -> None:
    turns = [said("user", "Why?"), said("assistant", "\nSo."), said("user", "<|im_end|> é")]
    rows = [
        *instruction_rows(),
        {**instruction_rows()[0], "messages": [*turns, said("assistant", " No.")]},
    ]
    measured = tokenise(encoder, rows, [], 10_000).exchanges
    table = pa.Table.from_pylist(rows)
    tuned = data.instruction_rows([table], encoder, data.Limit(10_000, cut=False)).used.to_pylist()
    assert len(measured) == len(tuned) == len(rows)
    for one, row in zip(measured, tuned, strict=True):
        assert one.prompt + one.answer == row["tokens"]
        assert encoder.decode(one.answer) == row["completion"]
        assert all(row["supervised"][len(one.prompt) :])


def test_pairs_are_those_a_model_is_tuned_on(encoder: ChatEncoder) -> None:
    rows = preference_rows()
    bad = {**rows[0], "chosen": [*rows[0]["chosen"], said("user", "And?")]}
    found = tokenise(encoder, [], [*rows, bad], 10_000)
    table = pa.Table.from_pylist([*rows, bad])
    tuned = data.preference_rows([table], encoder, data.Limit(10_000, cut=False))
    assert len(found.pairs) == tuned.used.num_rows == len(rows)
    for pair, row in zip(found.pairs, tuned.used.to_pylist(), strict=True):
        assert pair.chosen.prompt == pair.rejected.prompt == row["prompt_tokens"]
        assert (pair.chosen.answer, pair.rejected.answer) == (
            row["chosen_tokens"],
            row["rejected_tokens"],
        )
    assert found.left_out["preferences"] == data.Rows.reasons(tuned.rejected) == {"no_answer": 1}
