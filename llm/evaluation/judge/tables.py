"""The tables of a judge."""

from __future__ import annotations

import pyarrow as pa

from llm.tables import DOC_ID


def _text(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=False) for name in names]


# What was judged: a row a model and prompt.
JUDGED_ANSWERS = pa.schema(_text("model", "item", "prompt", "answer"))
# A row a question. `kind`: pair or single; `order`: forward, backward (the answers changed places)
# or "" of one answer. `verdict`: of a pair as the judge gave it, 1, 2 or tie, by place. `doc_id` is
# the question's; one without a verdict has it in a row of `REJECTED`, whose detail says the rest.
_QUESTION = _text("item", "kind", "criterion", "model", "against", "order")
VERDICTS = pa.schema([DOC_ID, *_QUESTION, *_text("verdict", "reply")])
# A row a pair and criterion of which both orders have a verdict. `label`: a person's, or "".
OUTCOMES = pa.schema(
    [
        *_text("item", "criterion", "model", "against"),
        pa.field("outcome", pa.float64(), nullable=False),
        pa.field("longer_by", pa.int64(), nullable=False),
        *_text("label", "source"),
    ]
)
JUDGE_SCORES = pa.schema(
    [
        *_text("model", "against", "metric"),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("n", pa.int64(), nullable=False),
    ]
)
