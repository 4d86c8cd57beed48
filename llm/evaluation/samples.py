"""What a model says: greedy answers, to read and to measure in length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm.evaluation.conversations import Exchange
from llm.evaluation.measure import GENERATED_TOKENS, Measure, mean
from llm.evaluation.tasks.talking import Talking
from llm.foreign.model import AnyModel
from llm.model.generation import generate
from llm.model.scoring import Report
from llm.tokens.chat import ChatEncoder

# Prompts a call: rows are grouped by length in `generate`, and progress is said between calls.
_AT_ONCE = 32


def answers(talk: Talking, prompts: Sequence[str], new_tokens: int) -> dict[str, str]:
    """Greedy answers to what users say, of up to `new_tokens` tokens.

    Returns:
        Of each prompt that the model can be asked, and that leaves room in its context, the answer.
    """
    turns = {prompt: talk.turn(prompt) for prompt in prompts}
    turns = {prompt: ids for prompt, ids in turns.items() if 0 < len(ids) < talk.context}
    return dict(zip(turns, talk.replies(list(turns.values()), new_tokens), strict=True))


def continued(
    model: AnyModel, encoder: ChatEncoder, texts: Sequence[str], new_tokens: int
) -> dict[str, str]:
    """Greedy continuations of texts, of up to `new_tokens` tokens.

    Returns:
        Of each text that leaves room in the model's context what follows it.
    """
    ids = {text: encoder.text(text) for text in texts}
    ids = {text: row for text, row in ids.items() if 0 < len(row) < model.architecture.context}
    made = generate(model, list(ids.values()), new_tokens, encoder.stops)
    return {text: encoder.decode(row) for text, row in zip(ids, made, strict=True)}


def generated_length(
    model: AnyModel,
    exchanges: Sequence[Exchange],
    stops: Sequence[int],
    new_tokens: int,
    report: Report,
) -> Measure:
    """Mean length of the greedy answer, in tokens without the one that ends it.

    An answer that does not end counts with `new_tokens`, or with what the context leaves.
    """
    lengths: list[int] = []
    for first in range(0, len(exchanges), _AT_ONCE):
        prompts = [exchange.prompt for exchange in exchanges[first : first + _AT_ONCE]]
        lengths += [len(row) for row in generate(model, prompts, new_tokens, stops)]
        report(len(lengths), len(exchanges))
    ids = tuple(exchange.doc_id for exchange in exchanges)
    return mean(GENERATED_TOKENS, ids, np.array(lengths, dtype=np.float64))
