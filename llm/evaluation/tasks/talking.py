"""A model that answers what a user says: ours in our chat template, one of others in its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llm.evaluation.tasks.subject import Prompt
from llm.evaluation.tasks.transformers_model import TransformersModel
from llm.foreign.model import AnyModel
from llm.model.generation import generate
from llm.tokens.chat import ChatEncoder

# Why nobody, or not this, is asked.
NO_CHAT_TEMPLATE, NO_TURN = "no_chat_template", "no_turn"


class Talking(Protocol):
    """Who is asked.

    Attributes:
        context: most tokens it reads at once.
    """

    context: int

    def turn(self, text: str) -> list[int]:
        """What a user says, as tokens up to where the answer begins; empty where the model has no
        way to be told it."""

    def replies(self, turns: Sequence[Sequence[int]], new_tokens: int) -> list[str]:
        """Greedy answers of up to so many tokens, and to where the context ends."""


class OwnTalk:
    """A model of the chain, which answers in our chat template."""

    def __init__(self, model: AnyModel, encoder: ChatEncoder) -> None:
        self._model, self._encoder = model, encoder
        self.context = model.architecture.context

    def turn(self, text: str) -> list[int]:
        return self._encoder.prompt([{"role": "user", "content": text}])

    def replies(self, turns: Sequence[Sequence[int]], new_tokens: int) -> list[str]:
        made = generate(self._model, turns, new_tokens, self._encoder.stops)
        return [self._encoder.decode(tokens) for tokens in made]


class OtherTalk:
    """A model of others, whose tokenizer has a chat template."""

    def __init__(self, model: TransformersModel) -> None:
        self._model = model
        self.context = model.context

    def turn(self, text: str) -> list[int]:
        return self._model.turn(text)

    def replies(self, turns: Sequence[Sequence[int]], new_tokens: int) -> list[str]:
        return self._model.continue_(
            [Prompt(ids, min(new_tokens, self.context - len(ids)), ()) for ids in turns]
        )


def talk_of(model: TransformersModel) -> OtherTalk | None:
    """`None` of a model that has no chat template, or one that a user's turn alone is not for."""
    return OtherTalk(model) if model.answers_users else None
