"""Answers as a table, an item of a model a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from llm.evaluation.tasks.answers import Answer

ANSWERS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("choices", pa.list_(pa.string()), nullable=False),
        pa.field("logprobs", pa.list_(pa.float64()), nullable=False),
        pa.field("expected", pa.string(), nullable=False),
        pa.field("given", pa.string(), nullable=False),
        pa.field("tokens_cut", pa.int64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field(
            "verdicts",
            pa.list_(pa.struct([("measure", pa.string()), ("value", pa.float64())])),
            nullable=False,
        ),
    ]
)


def answer_table(model: str, task: str, answers: Sequence[Answer]) -> pa.Table:
    """Rows of `ANSWERS`."""
    rows = [
        {
            "model": model,
            "task": task,
            "item": each.item,
            "prompt": each.prompt,
            "choices": list(each.choices),
            "logprobs": list(each.logprobs),
            "expected": each.expected,
            "given": each.given,
            "tokens_cut": each.tokens_cut,
            "weight": each.weight,
            "verdicts": [{"measure": name, "value": v} for name, v in each.verdicts.items()],
        }
        for each in answers
    ]
    return pa.Table.from_pylist(rows, schema=ANSWERS)
