"""Log-probabilities in the two shapes of OpenAI's protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from llm.serving.request import ScoredToken

# JSON has no infinity; what OpenAI says of a token that cannot be.
_NEVER = -9999.0


def chat_logprobs(scored: Sequence[ScoredToken]) -> dict[str, Any]:
    """`{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}`."""
    content = [
        {**_entry(token), "top_logprobs": [_entry(other) for other in token.runners_up]}
        for token in scored
    ]
    return {"content": content, "refusal": None}


def _entry(token: ScoredToken) -> dict[str, Any]:
    return {"token": token.text, "logprob": _finite(token.logprob), "bytes": list(token.data)}


def completion_logprobs(scored: Sequence[ScoredToken], offset: int) -> dict[str, Any]:
    """`{"tokens", "token_logprobs", "top_logprobs", "text_offset"}`.

    Args:
        offset: characters of the answer before them.
    """
    tokens = [_name(token) for token in scored]
    offsets = []
    for token in scored:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": tokens,
        "token_logprobs": [_finite(token.logprob) for token in scored],
        "top_logprobs": [
            {_name(other): _finite(other.logprob) for other in (token, *token.runners_up)}
            for token in scored
        ],
        "text_offset": offsets,
    }


def _name(token: ScoredToken) -> str:
    """The token's text; of a part of a character its bytes, by which parts are told apart."""
    if "\ufffd" not in token.text:
        return token.text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)


def _finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else _NEVER
