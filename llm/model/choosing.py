"""Which of several continuations a model prefers, given how probable it finds each."""

from __future__ import annotations

from collections.abc import Sequence

ACC, ACC_NORM = "acc", "acc_norm"  # what figures of such choices are called


def likeliest(logprobs: Sequence[float]) -> int:
    """The place of the most probable one; of equals the first."""
    return logprobs.index(max(logprobs))


def likeliest_by_character(logprobs: Sequence[float], characters: Sequence[int]) -> int:
    """The place of the one with the highest log-probability a character, so that a short one has no
    advantage; of equals the first."""
    return likeliest([p / n for p, n in zip(logprobs, characters, strict=True)])


def prefers_first(logprobs: Sequence[float]) -> bool:
    """Of two, whether the first is the more probable one; a tie is no preference."""
    first, second = logprobs
    return first > second
