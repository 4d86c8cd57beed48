"""Answers to learn from: drawn by our own cached generation, many at a time, each with the token
that ended it.

TRL asks transformers for them, which on a CPU spends most of a step on starting small operations
and goes on with rows that have ended until the longest has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm.foreign.model import AnyModel
from llm.model.batching import Ask, Batch
from llm.model.inference import lay_out
from llm.model.sampling import Sampling

# Rows at once, whose keys and values have to fit.
_PLACES = 64


@dataclass(frozen=True)
class Drawn:
    """An answer.

    Attributes:
        tokens: with the one that ended it, if one did.
        finished: one did; otherwise it was cut off.
    """

    tokens: list[int]
    finished: bool

    @property
    def said(self) -> list[int]:
        """Its tokens without that one."""
        return self.tokens[:-1] if self.finished else self.tokens


def draw(
    model: AnyModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    stops: Sequence[int],
    sampling: Sampling,
) -> list[Drawn]:
    """An answer of at most `new_tokens` to each prompt; rows draw numbers of their own.

    Nothing of the model is kept: its weights may change until the next call.

    Raises:
        PromptLengthError: a prompt is empty, or it leaves no room in the model's context.
    """
    return draw_each(
        model,
        [
            Ask(prompt, new_tokens, frozenset(stops), sampling, stream=index)
            for index, prompt in enumerate(prompts)
        ],
    )


def draw_each(model: AnyModel, asks: Sequence[Ask]) -> list[Drawn]:
    """What each asks for.

    Raises:
        PromptLengthError: a prompt is empty, or it leaves no room in the model's context.
    """
    if not asks:
        return []
    longest = max(len(ask.prompt) + ask.max_new_tokens for ask in asks)
    places = min(len(asks), _PLACES)
    batch = Batch(lay_out(model, places, min(model.architecture.context, longest)))
    for ask in asks:
        batch.add(ask)
    answers: list[list[int]] = [[] for _ in asks]
    finished = [False] * len(asks)
    while batch.running or batch.waiting:
        for made in batch.step():
            token = made.token if made.stop is None else made.stop
            if token is not None:
                answers[made.number].append(token)
            finished[made.number] = made.stop is not None
    return [Drawn(*answer) for answer in zip(answers, finished, strict=True)]


def sampling_of(temperature: float, seed: int, step: int) -> Sampling:
    """How answers of a step are drawn: a function of the seed and the step alone."""
    return Sampling(temperature=temperature, top_k=0, top_p=1.0, seed=(seed << 32) + step)
