"""What is asked of a served model, and what it says piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm.model.sampling import Sampling

# Why nothing follows: a stop token or text; the most tokens, or the context; whoever asked has
# gone; the model's thread broke.
Ended = Literal["stop", "length", "cancelled", "failed"]


@dataclass(frozen=True)
class Request:
    """A prompt to continue.

    Attributes:
        prompt: its tokens.
        max_new_tokens: of the answer at most; the context may leave fewer.
        stop_texts: the answer ends before the first of them, wherever tokens begin and end.
        top_logprobs: none: no log-probabilities; n: those of each token and of n runners-up.
        stop_tokens: end the answer; none = those of the model's tokenizer.
        stream: of requests with one seed, which this is: each draws numbers of its own.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling
    stop_texts: tuple[str, ...] = ()
    top_logprobs: int | None = None
    stop_tokens: frozenset[int] | None = None
    stream: int = 0


@dataclass(frozen=True)
class ScoredToken:
    """A token with the natural logarithm of the probability the model gave it.

    Attributes:
        text: of its bytes; U+FFFD where they are a part of a character.
    """

    token: int
    text: str
    data: bytes
    logprob: float
    runners_up: tuple[ScoredToken, ...] = ()


@dataclass(frozen=True)
class Piece:
    """What a step added to an answer.

    Attributes:
        text: whole characters that stand, perhaps none. A step's token may be told only later,
            with what it is a part of.
        tokens: those of the step.
        scored: the same with log-probabilities, where they were asked for.
        ended: in the last piece.
    """

    text: str
    tokens: tuple[int, ...] = ()
    scored: tuple[ScoredToken, ...] = ()
    ended: Ended | None = None
