"""What a served model is asked, and what it answers with, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm.model.sampling import Sampling


@dataclass(frozen=True)
class Request:
    """One answer that is wanted."""

    prompt: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling
    stop_texts: tuple[str, ...] = ()
    top_logprobs: int | None = None
    stop_tokens: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ScoredToken:
    """A token and its log-probability, natural logarithm."""

    token: int
    text: str
    data: bytes
    logprob: float
    runners_up: tuple[ScoredToken, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A stretch of an answer."""

    text: str
    tokens: tuple[int, ...]
    scored: tuple[ScoredToken, ...]
    ended: Literal["stop", "length", "cancelled"] | None
