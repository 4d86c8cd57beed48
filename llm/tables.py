"""Columns that several tables share, and the names of the splits: each once."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)

DOC_ID = pa.field("doc_id", pa.string(), nullable=False)
SPLIT = pa.field("split", pa.string(), nullable=False)

# What a stage left out, and why: value and threshold where a measure decided.
REMOVED = pa.schema(
    [
        DOC_ID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("detail", pa.string()),
    ]
)
# What could not be processed, and why.
REJECTED = pa.schema(
    [
        DOC_ID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
DOCUMENTS = pa.schema(
    [
        DOC_ID,
        pa.field("url", pa.string()),
        pa.field("title", pa.string()),
        pa.field("text", pa.string()),
        pa.field("extractor", pa.string()),
        pa.field("source", pa.string()),
        pa.field("html_bytes", pa.int64()),
        pa.field("text_chars", pa.int64()),
    ]
)
SPLIT_DOCUMENTS = DOCUMENTS.append(SPLIT)
METRICS = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)


def _rendered(texts: Sequence[str], tokens: Sequence[pa.Field]) -> pa.Schema:
    columns = [pa.field(name, pa.string(), nullable=False) for name in texts]
    truncated = pa.field("truncated", pa.bool_(), nullable=False)
    return pa.schema([DOC_ID, SPLIT, *columns, *tokens, truncated])


def _tokens(name: str) -> pa.Field:
    return pa.field(name, pa.list_(pa.int32()), nullable=False)


# Examples as a model is tuned on them; `truncated`: the end was cut off.
INSTRUCTION_ROWS = _rendered(
    ["prompt", "completion"],
    [_tokens("tokens"), pa.field("supervised", pa.list_(pa.bool_()), nullable=False)],
)
PREFERENCE_ROWS = _rendered(
    ["prompt", "chosen", "rejected"],
    [_tokens(f"{name}_tokens") for name in ("prompt", "chosen", "rejected")],
)
# Of preferences, in nats: what a model gave to the answers before it was tuned on them, and after.
PAIR_LOGPROBS = (
    "chosen_logp_before",
    "rejected_logp_before",
    "chosen_logp_after",
    "rejected_logp_after",
    "margin",
)
PAIRS = pa.schema(
    [DOC_ID, SPLIT, *(pa.field(name, pa.float64(), nullable=False) for name in PAIR_LOGPROBS)]
)
# The same pairs with what a reward model gives to their answers, and the answers' lengths.
REWARD_PAIRS = pa.schema(
    [
        DOC_ID,
        SPLIT,
        *(
            pa.field(name, pa.float64(), nullable=False)
            for name in ("chosen_reward", "rejected_reward", "margin")
        ),
        *(
            pa.field(name, pa.int32(), nullable=False)
            for name in ("chosen_tokens", "rejected_tokens")
        ),
    ]
)
# Answers with a thumb up (desirable) or down, and what a model gave to them before it was tuned on
# them and after: sums in nats, and beta times the gain.
THUMB_ROWS = _rendered(
    ["prompt", "answer"],
    [
        *(_tokens(f"{name}_tokens") for name in ("prompt", "answer")),
        pa.field("desirable", pa.bool_(), nullable=False),
    ],
)
THUMB_REWARDS = pa.schema(
    [
        DOC_ID,
        SPLIT,
        pa.field("desirable", pa.bool_(), nullable=False),
        *(
            pa.field(name, pa.float64(), nullable=False)
            for name in ("logp_before", "logp_after", "reward")
        ),
        pa.field("tokens", pa.int32(), nullable=False),
    ]
)
# Prompts as a model is asked them, each with the answer that belongs to it ("" = none).
PROMPT_ROWS = pa.schema(
    [
        DOC_ID,
        SPLIT,
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("expected", pa.string(), nullable=False),
        _tokens("prompt_tokens"),
    ]
)
_PARTS = pa.list_(
    pa.struct(
        [
            pa.field("name", pa.string(), nullable=False),
            pa.field("value", pa.float64(), nullable=False),
        ]
    )
)
# Answers that a model gave to prompts, so many to each, and what each part of the reward gave (null
# where one gave nothing); role: "chosen", "rejected" or "".
SAMPLED_ANSWERS = pa.schema(
    [
        DOC_ID,
        SPLIT,
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("finished", pa.bool_(), nullable=False),
        pa.field("reward", pa.float64()),
        pa.field("parts", _PARTS, nullable=False),
        pa.field("role", pa.string(), nullable=False),
    ]
)
# Answers that were learned from, and what each reward gave.
ROLLOUTS = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("prompt", "expected", "answer")),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("finished", pa.bool_(), nullable=False),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("parts", _PARTS, nullable=False),
    ]
)
# The most probable answers to prompts that nothing was learned from, before and after.
HELD_OUT_ANSWERS = pa.schema(
    [
        DOC_ID,
        *(
            pa.field(name, pa.string(), nullable=False)
            for name in ("prompt", "expected", "answer_before", "answer_after")
        ),
        *(
            pa.field(f"{name}_{when}", kind, nullable=False)
            for when in ("before", "after")
            for name, kind in (("reward", pa.float64()), ("tokens", pa.int32()), ("parts", _PARTS))
        ),
    ]
)
