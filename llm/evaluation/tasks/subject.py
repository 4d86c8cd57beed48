"""A model as tasks ask it: texts in, log-probabilities and generated texts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from llm.foreign.model import AnyModel
from llm.model.generation import generate
from llm.model.scoring import Scorer
from llm.tokens.chat import ChatEncoder


@dataclass(frozen=True)
class Prompt:
    """What is to be continued.

    Attributes:
        ids: its tokens.
        max_new_tokens: of the answer.
        until: texts before which the answer ends.
    """

    ids: Sequence[int]
    max_new_tokens: int
    until: tuple[str, ...]


class Encoder(Protocol):
    """How a model reads texts.

    Attributes:
        context: most tokens it reads at once.
        prefix: the token that stands before a text nothing precedes. As in lm-eval the beginning
            of text, or, where a tokenizer has none, the token that ends what the model says.
    """

    context: int
    prefix: int

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, as they follow nothing."""

    def encode_bare(self, text: str) -> list[int]:
        """The same without what the tokenizer puts before or behind a text."""


class Subject(Encoder, Protocol):
    """A model with its tokenizer.

    Attributes:
        scorer: its two halves.
        end: the token between documents.
    """

    scorer: Scorer
    device: torch.device
    end: int

    def continue_(self, prompts: Sequence[Prompt]) -> list[str]:
        """Greedy answers, special tokens left out, up to the first of the texts that end them."""


class OwnModel:
    """A `Subject` of our own model; what a text spells out is text, never a special token."""

    def __init__(self, model: AnyModel, encoder: ChatEncoder) -> None:
        self.scorer: Scorer = model
        self.context = model.architecture.context
        self.device = model.device
        self._model, self._encoder = model, encoder
        self.end, self.prefix = encoder.text_end, _prefix(encoder)

    def encode(self, text: str) -> list[int]:
        return self._encoder.text(text)

    encode_bare = encode

    def continue_(self, prompts: Sequence[Prompt]) -> list[str]:
        watched = [_Watched(self._encoder, prompt.until) for prompt in prompts]
        made = generate(
            self._model,
            [prompt.ids for prompt in prompts],
            max((prompt.max_new_tokens for prompt in prompts), default=1),
            self._encoder.stops,
            ended=lambda row, tokens: (
                len(tokens) >= prompts[row].max_new_tokens or watched[row].ends(tokens)
            ),
        )
        decode = self._encoder.tokenizer.decode
        return [
            cut(decode(tokens, skip_special_tokens=True), prompt.until)
            for tokens, prompt in zip(made, prompts, strict=True)
        ]


class _Watched:
    """Whether an answer has come to a text that ends it, told from its last tokens."""

    def __init__(self, encoder: ChatEncoder, until: Sequence[str]) -> None:
        self._encoder, self._until = encoder, until
        # A token is a byte at least; one more on each side may be part of a character.
        self._reach = max((len(text.encode()) for text in until), default=0) + 2

    def ends(self, tokens: Sequence[int]) -> bool:
        if not self._until:
            return False
        text = self._encoder.tokenizer.decode(tokens[-self._reach :], skip_special_tokens=True)
        return any(end in text for end in self._until)


def cut(text: str, until: Sequence[str]) -> str:
    """A text up to where the first of some others begins."""
    places = [text.find(end) for end in until if end]
    return text[: min((place for place in places if place >= 0), default=len(text))]


def _prefix(encoder: ChatEncoder) -> int:
    first: int | None = encoder.tokenizer.bos_token_id
    found: int = encoder.tokenizer.eos_token_id if first is None else first
    return found
