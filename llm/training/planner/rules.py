"""Tokens, batch and learning rate by the size of a model, each with its source.

They are starting points for text in one language and AdamW; Muon here takes AdamW's rate
(`match_rms_adamw`). Where a run of one's own has shown better, a recipe's fields say so.
"""

from __future__ import annotations

TOKENS_A_PARAMETER = 20.0
TOKENS_SOURCE = "20 tokens a parameter (Hoffmann et al. 2022)"
# What the two rules below were found for.
_REFERENCE = 108e6
BATCH_SOURCE = "160 x 2,048 tokens x (N / 108 M)^(2/3) (Porian et al. 2024; OLMo-core)"
RATE_SOURCE = "0.00235 x (N / 108 M)^(-1/3), 0.006 at most (Porian et al. 2024; OLMo-core)"
_HIGHEST_RATE = 6e-3


def tokens(parameters: int) -> int:
    """Training tokens with which a model of this size is best for its operations."""
    return round(TOKENS_A_PARAMETER * parameters)


def parameters_for(tokens: int) -> int:
    """The size of model for which so many tokens are that."""
    return round(tokens / TOKENS_A_PARAMETER)


def batch_tokens(parameters: int, sequence_length: int = 1) -> int:
    """Tokens a step: whole sequences, one at least."""
    wanted = int(160 * 2048 * (parameters / _REFERENCE) ** (2 / 3))
    return max(1, wanted // sequence_length) * sequence_length


def learning_rate(parameters: int) -> float:
    """At its peak, to three digits."""
    rate = 0.5 * 0.0047 * (parameters / _REFERENCE) ** (-1 / 3)
    return float(f"{min(_HIGHEST_RATE, rate):.3g}")
