"""What an answer looks like in OpenAI's protocol: whole, and in the chunks of a stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from llm.serving.api.logprobs import chat_logprobs, completion_logprobs
from llm.serving.request import Piece, ScoredToken

Usage = dict[str, int]


@dataclass
class Choice:
    """One answer, as far as it has come."""

    texts: list[str] = field(default_factory=list)
    scored: list[ScoredToken] = field(default_factory=list)
    ended: str | None = None

    def add(self, piece: Piece) -> None:
        self.texts.append(piece.text)
        self.scored += piece.scored
        self.ended = piece.ended


class Answer(Protocol):
    """An answer to one request, in the shape of its route."""

    def opening(self, choices: int) -> list[dict[str, Any]]:
        """Chunks a stream begins with."""

    def chunk(self, choice: int, piece: Piece) -> dict[str, Any] | None:
        """A piece of a stream; none where there is nothing to tell yet."""

    def closing(self, usage: Usage) -> dict[str, Any]:
        """The chunk that tells the counts of tokens."""

    def whole(self, choices: Sequence[Choice], usage: Usage) -> dict[str, Any]:
        """All of it at once."""


class _Headed:
    def __init__(
        self, prefix: str, kind: str, model: str, fingerprint: str, with_usage: bool
    ) -> None:
        self.head: dict[str, Any] = {
            "id": f"{prefix}-{uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }
        # Where counts are asked for, all chunks but the last have the field, empty.
        self._empty = {"usage": None} if with_usage else {}

    def closing(self, usage: Usage) -> dict[str, Any]:
        return {**self.head, "choices": [], "usage": usage}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self.head, "choices": [choice], **self._empty}


class ChatAnswer(_Headed):
    """`chat.completion`.

    Args:
        streamed: whether it goes out in chunks.
        scored: whether log-probabilities are told.
    """

    def __init__(
        self, model: str, fingerprint: str, streamed: bool, with_usage: bool, scored: bool
    ) -> None:
        kind = "chat.completion.chunk" if streamed else "chat.completion"
        super().__init__("chatcmpl", kind, model, fingerprint, with_usage)
        self._scored = scored

    def opening(self, choices: int) -> list[dict[str, Any]]:
        delta = {"role": "assistant", "content": "", "refusal": None}
        return [self._delta(choice, delta, None, None) for choice in range(choices)]

    def chunk(self, choice: int, piece: Piece) -> dict[str, Any] | None:
        if not (piece.text or piece.scored or piece.ended):
            return None
        delta = {"content": piece.text} if piece.text or piece.scored else {}
        scored = chat_logprobs(piece.scored) if piece.scored else None
        return self._delta(choice, delta, scored, piece.ended)

    def whole(self, choices: Sequence[Choice], usage: Usage) -> dict[str, Any]:
        told = [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": "".join(choice.texts),
                    "refusal": None,
                },
                "logprobs": chat_logprobs(choice.scored) if self._scored else None,
                "finish_reason": choice.ended,
            }
            for index, choice in enumerate(choices)
        ]
        return {**self.head, "choices": told, "usage": usage}

    def _delta(
        self,
        choice: int,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None,
        ended: str | None,
    ) -> dict[str, Any]:
        return self._chunk(
            {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": ended}
        )


class CompletionAnswer(_Headed):
    """`text_completion`.

    Args:
        scored: whether log-probabilities are told.
    """

    def __init__(self, model: str, fingerprint: str, with_usage: bool, scored: bool) -> None:
        super().__init__("cmpl", "text_completion", model, fingerprint, with_usage)
        self._scored = scored
        self._told: dict[int, int] = {}  # characters of each choice whose tokens were told

    def opening(self, choices: int) -> list[dict[str, Any]]:
        return []

    def chunk(self, choice: int, piece: Piece) -> dict[str, Any] | None:
        if not (piece.text or piece.scored or piece.ended):
            return None
        return self._chunk(self._choice(choice, piece.text, piece.scored, piece.ended))

    def whole(self, choices: Sequence[Choice], usage: Usage) -> dict[str, Any]:
        told = [
            self._choice(index, "".join(choice.texts), choice.scored, choice.ended)
            for index, choice in enumerate(choices)
        ]
        return {**self.head, "choices": told, "usage": usage}

    def _choice(
        self, index: int, text: str, scored: Sequence[ScoredToken], ended: str | None
    ) -> dict[str, Any]:
        before = self._told.get(index, 0)
        self._told[index] = before + sum(len(token.text) for token in scored)
        return {
            "index": index,
            "text": text,
            "logprobs": completion_logprobs(scored, before) if self._scored else None,
            "finish_reason": ended,
        }
