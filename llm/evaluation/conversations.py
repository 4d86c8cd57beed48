"""Validation conversations as tokens, exactly as the model was tuned on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from llm.tokens.chat import ChatEncoder, Rendered
from llm.tokens.messages import Message, UnusableMessagesError

Made = TypeVar("Made")


@dataclass(frozen=True)
class Exchange:
    """A prompt and its answer as token ids; the answer ends with the end of the turn."""

    doc_id: str
    prompt: list[int]
    answer: list[int]

    @property
    def predictions(self) -> int:
        """Positions the model has to read to score the answer."""
        return len(self.prompt) + len(self.answer) - 1


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt."""

    chosen: Exchange
    rejected: Exchange


def exchange(encoder: ChatEncoder, doc_id: str, messages: Sequence[Message]) -> Exchange:
    """A conversation as its last answer and what comes before.

    Raises:
        UnusableMessagesError: it is no conversation that ends with an answer.
        TemplateError: the chat template is at fault.
    """
    return _exchange(doc_id, encoder.render(messages))


def _exchange(doc_id: str, rendered: Rendered) -> Exchange:
    return Exchange(doc_id, rendered.prompt_ids, rendered.completion_ids)


@dataclass(frozen=True)
class ValidationRows:
    """Rows to measure on.

    Attributes:
        left_out: rows that cannot be, by reason: that of `UnusableMessagesError`, or `too_long`
            for the model's context.
    """

    exchanges: list[Exchange]
    pairs: list[Pair]
    left_out: dict[str, dict[str, int]]


def tokenise(
    encoder: ChatEncoder,
    instructions: Sequence[Mapping[str, Any]],
    preferences: Sequence[Mapping[str, Any]],
    context: int,
) -> ValidationRows:
    """Exchanges of instruction rows and pairs of preference rows, for a model's context."""

    def alone(row: Mapping[str, Any]) -> Exchange:
        return exchange(encoder, row["doc_id"], row["messages"])

    def pair(row: Mapping[str, Any]) -> Pair:
        chosen, rejected = (
            _exchange(row["doc_id"], encoder.render_answer(row["prompt"], row[side], side))
            for side in ("chosen", "rejected")
        )
        return Pair(chosen, rejected)

    def pair_size(made: Pair) -> int:
        return max(made.chosen.predictions, made.rejected.predictions)

    exchanges, without = _usable(instructions, alone, lambda made: made.predictions, context)
    pairs, unpaired = _usable(preferences, pair, pair_size, context)
    return ValidationRows(exchanges, pairs, {"instructions": without, "preferences": unpaired})


def _usable(
    rows: Sequence[Mapping[str, Any]],
    make: Callable[[Mapping[str, Any]], Made],
    size: Callable[[Made], int],
    context: int,
) -> tuple[list[Made], dict[str, int]]:
    kept: list[Made] = []
    left_out: dict[str, int] = {}
    for row in rows:
        try:
            made = make(row)
        except UnusableMessagesError as error:
            reason = error.reason
        else:
            if size(made) <= context:
                kept.append(made)
                continue
            reason = "too_long"
        left_out[reason] = left_out.get(reason, 0) + 1
    return kept, left_out
