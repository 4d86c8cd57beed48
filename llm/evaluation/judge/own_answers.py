"""What models say to validation prompts, greedily, for a judge to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm.evaluation.judge.comparisons import Answer, Turns, as_text
from llm.evaluation.judge.files import item_of
from llm.evaluation.run_file import NamedModel
from llm.foreign.folder import context_in
from llm.foreign.model import open_model
from llm.model.generation import generate
from llm.model.scoring import Report
from llm.tokens.chat import ChatEncoder
from llm.training.devices import CUDA_OR_CPU, find
from llm.training.run_file import CudaOrCpu

_AT_ONCE = 32


@dataclass(frozen=True)
class Prompts:
    """Conversations up to where the assistant is to speak.

    Attributes:
        turns: by item, see `item_of`; in the order in which they are asked.
        left_out: rows that are no such prompt, by reason.
    """

    turns: dict[str, Turns]
    left_out: dict[str, int]


def prompts(
    instructions: Sequence[Mapping[str, Any]],
    preferences: Sequence[Mapping[str, Any]],
    models: Sequence[NamedModel],
    limit: int,
) -> Prompts:
    """The first `limit` prompts of validation rows, which leave each model room for an answer."""
    encoders = [(ChatEncoder(one.folder), context_in(one.folder)) for one in models]
    found: dict[str, Turns] = {}
    left_out: dict[str, int] = {}
    rows = [_before_the_answer(row["messages"]) for row in instructions]
    rows += [_plain(row["prompt"]) for row in preferences]
    for turns in rows:
        if len(found) == limit:
            break
        reason = ""
        if not turns or turns[-1]["role"] != "user":
            reason = "no_question"
        elif item_of(as_text(turns)) in found:
            reason = "repeated"
        elif any(len(encoder.prompt(turns)) >= context for encoder, context in encoders):
            reason = "too_long"
        if reason:
            left_out[reason] = left_out.get(reason, 0) + 1
        else:
            found[item_of(as_text(turns))] = turns
    return Prompts(found, left_out)


def own_answers(
    named: NamedModel, asked: Prompts, new_tokens: int, device: CudaOrCpu, report: Report
) -> list[Answer]:
    """The greedy answers of a model, up to `new_tokens` tokens each.

    Raises:
        ModelFolderError, DeviceError.
    """
    model = open_model(named.folder).to(find(device, CUDA_OR_CPU))
    encoder = ChatEncoder(named.folder)
    found: list[Answer] = []
    items = list(asked.turns.items())
    for first in range(0, len(items), _AT_ONCE):
        some = items[first : first + _AT_ONCE]
        ids = [encoder.prompt(turns) for _, turns in some]
        made = generate(model, ids, new_tokens, encoder.stops)
        for (item, turns), row in zip(some, made, strict=True):
            found.append(Answer(item, as_text(turns), encoder.decode(row)))
        report(len(found), len(items))
    return found


def _plain(messages: Turns | None) -> list[dict[str, Any]]:
    return [{"role": one["role"], "content": one["content"]} for one in messages or ()]


def _before_the_answer(messages: Turns | None) -> list[dict[str, Any]]:
    """The turns before the last one of the assistant."""
    turns = _plain(messages)
    while turns and turns[-1]["role"] != "assistant":
        turns.pop()
    return turns[:-1]
