"""What a reward is given, and what it is: a number for each answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm.errors import ExpectedError


@dataclass(frozen=True)
class Rollout:
    """An answer that a model gave to a prompt.

    Attributes:
        prompt: what was asked last, for people.
        answer: what was said, without the end of its turn.
        expected: the answer that belongs to the prompt; "" where it has none.
        tokens: of the answer, the end of its turn included.
        finished: it ended its turn, and was not cut off.
        conversation: tokens of prompt and answer, as the model has them.
    """

    prompt: str
    answer: str
    expected: str
    tokens: int
    finished: bool
    conversation: tuple[int, ...]


# A pure function: an answer gets its number whoever is beside it. The higher, the better.
Reward = Callable[[Sequence[Rollout]], list[float]]


class RewardSettingError(ExpectedError, ValueError):
    """A setting of a reward that means nothing; names it."""


def of_each(judge: Callable[[Rollout], float]) -> Reward:
    """The reward that looks at one answer at a time."""
    return lambda rollouts: [float(judge(rollout)) for rollout in rollouts]
