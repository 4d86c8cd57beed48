"""A list of rewards with weights: what each part gives is told beside their sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llm.alignment.rewards import model
from llm.alignment.rewards.rollout import Reward, RewardSettingError, Rollout
from llm.alignment.rewards.rules import PartSettings, rule
from llm.errors import ExpectedError

_SHOWN = 80  # characters of a prompt in a message


class NonFiniteRewardError(ExpectedError, ValueError):
    """A reward is no number; names the part and the prompt."""


@dataclass(frozen=True)
class Part:
    """A reward, its name and its weight in the sum."""

    name: str
    weight: float
    reward: Reward


class WeightedReward:
    """The sum of parts.

    Attributes:
        weights: float64 (parts,).
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self.names = [part.name for part in parts]
        self.weights: NDArray[np.float64] = np.array([part.weight for part in parts])

    def parts(self, rollouts: Sequence[Rollout]) -> NDArray[np.float64]:
        """What each part gives, before weights: (rollouts, parts).

        Raises:
            NonFiniteRewardError: a part gives something else than a finite number.
        """
        found = np.empty((len(rollouts), len(self._parts)))
        for place, part in enumerate(self._parts):
            values = part.reward(rollouts)
            for rollout, value in zip(rollouts, values, strict=True):
                if not math.isfinite(value):
                    raise NonFiniteRewardError(
                        f"the reward {part.name!r} is {value} for an answer to "
                        f"{rollout.prompt[:_SHOWN]!r}; nothing can be learned from that. Correct "
                        "what computes it (of a reward model: train it again), or leave the part "
                        "out"
                    )
            found[:, place] = values
        return found


def weighted_reward(
    settings: Sequence[PartSettings],
    policy: Path,
    reward_model: Path | None,
    device: torch.device,
    batch_tokens: int,
) -> WeightedReward:
    """The reward that settings describe.

    Args:
        policy: folder of the model whose answers are judged.
        reward_model: folder of the reward model; none where there is none.
        batch_tokens: of a forward pass of it at most, padding included.

    Raises:
        RewardSettingError: a part's settings mean nothing, or there is none of a name of its own.
        TokenizerMismatchError, RewardModelError: of the reward model.
    """
    names = [part.name for part in settings]
    if not names or len(set(names)) < len(names):
        raise RewardSettingError(
            f"rewards are named {', '.join(names) or 'none'}; give one at least, each a name of "
            "its own"
        )

    def model_reward() -> Reward:
        if reward_model is None:
            raise RewardSettingError("kind model, and there is no reward model; add the stage")
        return model.model(reward_model, policy, device, batch_tokens)

    made = []
    for part in settings:
        try:
            reward = model_reward() if part.kind == "model" else rule(part)
        except RewardSettingError as error:
            raise RewardSettingError(f"reward {part.name!r}: {error}") from error
        made.append(Part(part.name, part.weight, reward))
    return WeightedReward(made)
