"""Rows of the example tables as what a trainer takes: tokens, cut to length, with every row
that cannot be used counted under a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from llm.errors import ExpectedError
from llm.tables import (
    INSTRUCTION_ROWS,
    PREFERENCE_ROWS,
    PROMPT_ROWS,
    REJECTED,
    REMOVED,
    THUMB_ROWS,
    TRAIN,
    VALIDATION,
)
from llm.tokens.chat import ChatEncoder, Rendered
from llm.tokens.messages import UnusableMessagesError


class SplitError(ExpectedError, ValueError):
    """A row belongs to a split there is not."""


class EqualPairError(ExpectedError, ValueError):
    """The chosen and the rejected answer of a pair are the same tokens."""


class _Unused(Exception):  # noqa: N818 - carries a row to its table, is no fault
    """A row that is left out because of its length."""

    def __init__(self, reason: str, value: int, threshold: int, detail: str) -> None:
        super().__init__(reason)
        self.row = {"reason": reason, "value": value, "threshold": threshold, "detail": detail}


@dataclass(frozen=True)
class Limit:
    """On the length of rows.

    Attributes:
        tokens: of prompt and answer at most.
        cut: longer rows lose their end; otherwise they are removed.
    """

    tokens: int
    cut: bool


@dataclass
class Rows:
    """What became of all rows.

    Attributes:
        used: INSTRUCTION_ROWS, PREFERENCE_ROWS, THUMB_ROWS or PROMPT_ROWS.
        removed, rejected: the two tables of those.
    """

    used: pa.Table
    removed: pa.Table
    rejected: pa.Table

    def split(self, name: str) -> pa.Table:
        """The used rows of one split, in order."""
        return self.used.filter(pc.equal(self.used.column("split"), name))

    @staticmethod
    def reasons(table: pa.Table) -> dict[str, int]:
        """How many rows for each reason."""
        return dict(sorted(Counter(table.column("reason").to_pylist()).items()))


@dataclass
class _Collector:
    schema: pa.Schema
    used: list[pa.Table] = field(default_factory=list)
    removed: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def take(self, rows: Sequence[Mapping[str, Any]], convert: _Convert) -> None:
        made = []
        for row in rows:
            if row["split"] not in (TRAIN, VALIDATION):
                raise SplitError(
                    f"example {row['doc_id']}: split {row['split']!r}; it is {TRAIN} or "
                    f"{VALIDATION}. Rebuild the examples"
                )
            try:
                record = convert(row)
            except UnusableMessagesError as error:
                self.rejected.append(
                    {"doc_id": row["doc_id"], "reason": error.reason, "detail": str(error)}
                )
            except _Unused as unused:
                self.removed.append({"doc_id": row["doc_id"], **unused.row})
            else:
                made.append({"doc_id": row["doc_id"], "split": row["split"], **record})
        self.used.append(pa.Table.from_pylist(made, schema=self.schema))

    def rows(self) -> Rows:
        return Rows(
            pa.concat_tables([self.schema.empty_table(), *self.used]),
            pa.Table.from_pylist(self.removed, schema=REMOVED),
            pa.Table.from_pylist(self.rejected, schema=REJECTED),
        )


_Convert = Callable[[Mapping[str, Any]], dict[str, Any]]
_AT_ONCE = 4096


def instruction_rows(
    tables: Iterable[pa.Table], chat: ChatEncoder, limit: Limit, last_only: bool = False
) -> Rows:
    """Tables with doc_id, split, messages as INSTRUCTION_ROWS.

    Args:
        last_only: only the last answer of a conversation is to be learned.

    A row longer than allowed is removed as `too_long`, or cut at its end and marked; where
    nothing supervised is left it is removed as `prompt_too_long`.

    Raises:
        SplitError, llm.tokens.chat.TemplateError
    """

    def convert(row: Mapping[str, Any]) -> dict[str, Any]:
        rendered = chat.render(row["messages"])
        tokens = rendered.prompt_ids + rendered.completion_ids
        before = [False] * len(rendered.prompt_ids) if last_only else rendered.prompt_supervised
        supervised = before + [True] * len(rendered.completion_ids)
        _check_length(rendered, len(tokens), any(supervised[: limit.tokens]), limit)
        return {
            "prompt": rendered.prompt,
            "completion": rendered.completion,
            "tokens": tokens[: limit.tokens],
            "supervised": supervised[: limit.tokens],
            "truncated": len(tokens) > limit.tokens,
        }

    return _collect(tables, ["doc_id", "split", "messages"], INSTRUCTION_ROWS, convert)


def preference_rows(tables: Iterable[pa.Table], chat: ChatEncoder, limit: Limit) -> Rows:
    """Tables with doc_id, split, prompt, chosen, rejected as PREFERENCE_ROWS.

    Length counts with the longer answer; a pair that differs only behind the cut is removed as
    `equal_when_cut`.

    Raises:
        EqualPairError: chosen and rejected are the same tokens without any cut.
        SplitError, llm.tokens.chat.TemplateError
    """

    def convert(row: Mapping[str, Any]) -> dict[str, Any]:
        chosen, rejected = (
            chat.render_answer(row["prompt"], row[name], name) for name in ("chosen", "rejected")
        )
        if chosen.completion_ids == rejected.completion_ids:
            raise EqualPairError(
                f"example {row['doc_id']}: chosen and rejected are the same tokens; nothing can "
                "be learned from it. Leave it out of the examples"
            )
        room = limit.tokens - len(chosen.prompt_ids)
        longest = max(len(chosen.completion_ids), len(rejected.completion_ids))
        length = len(chosen.prompt_ids) + longest
        _check_length(chosen, length, room > 0, limit)
        kept, other = chosen.completion_ids[:room], rejected.completion_ids[:room]
        if kept == other:
            raise _Unused("equal_when_cut", length, limit.tokens, "differ only behind the cut")
        return {
            "prompt": chosen.prompt,
            "chosen": chosen.completion,
            "rejected": rejected.completion,
            "prompt_tokens": chosen.prompt_ids,
            "chosen_tokens": kept,
            "rejected_tokens": other,
            "truncated": longest > room,
        }

    columns = ["doc_id", "split", "prompt", "chosen", "rejected"]
    return _collect(tables, columns, PREFERENCE_ROWS, convert)


def thumb_rows(tables: Iterable[pa.Table], chat: ChatEncoder, limit: Limit) -> Rows:
    """Tables with doc_id, split, prompt, answer, desirable as THUMB_ROWS.

    Raises:
        SplitError, llm.tokens.chat.TemplateError
    """

    def convert(row: Mapping[str, Any]) -> dict[str, Any]:
        answer = chat.render_answer(row["prompt"], row["answer"], "answer")
        room = limit.tokens - len(answer.prompt_ids)
        length = len(answer.prompt_ids) + len(answer.completion_ids)
        _check_length(answer, length, room > 0, limit)
        return {
            "prompt": answer.prompt,
            "answer": answer.completion,
            "prompt_tokens": answer.prompt_ids,
            "answer_tokens": answer.completion_ids[:room],
            "desirable": row["desirable"],
            "truncated": len(answer.completion_ids) > room,
        }

    columns = ["doc_id", "split", "prompt", "answer", "desirable"]
    return _collect(tables, columns, THUMB_ROWS, convert)


def prompt_rows(
    tables: Iterable[pa.Table], chat: ChatEncoder, limit: Limit, new_tokens: int
) -> Rows:
    """Tables with doc_id, split, messages as PROMPT_ROWS: what stands before the last answer is the
    prompt, and that answer is the expected one.

    A prompt that leaves no room for `new_tokens` is removed as `prompt_too_long`.

    Raises:
        SplitError, llm.tokens.chat.TemplateError
    """

    def convert(row: Mapping[str, Any]) -> dict[str, Any]:
        rendered = chat.render(row["messages"])
        room = limit.tokens - new_tokens
        length = len(rendered.prompt_ids)
        if length > room:
            raise _Unused("prompt_too_long", length, room, f"no room for {new_tokens} new tokens")
        return {
            "prompt": rendered.prompt,
            "expected": row["messages"][-1]["content"],
            "prompt_tokens": rendered.prompt_ids,
        }

    return _collect(tables, ["doc_id", "split", "messages"], PROMPT_ROWS, convert)


def _check_length(rendered: Rendered, length: int, room: bool, limit: Limit) -> None:
    """Leave out a row of `length` tokens that may not be cut, or has no `room` for an answer."""
    if not limit.cut and length > limit.tokens:
        raise _Unused("too_long", length, limit.tokens, "prompt and answer together")
    if not room:
        prompt = len(rendered.prompt_ids)
        raise _Unused("prompt_too_long", prompt, limit.tokens, "no room for the answer's start")


def _collect(
    tables: Iterable[pa.Table], columns: list[str], schema: pa.Schema, convert: _Convert
) -> Rows:
    collector = _Collector(schema)
    for table in tables:
        for batch in table.select(columns).to_batches(max_chunksize=_AT_ONCE):
            collector.take(batch.to_pylist(), convert)
    return collector.rows()
