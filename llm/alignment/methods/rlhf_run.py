"""What a run of reinforcement learning is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm.alignment.rewards.rules import PartSettings
from llm.alignment.run_file import Run

Algorithm = Literal["grpo", "rloo"]


@dataclass(frozen=True)
class RlhfRun(Run):
    """Reinforcement learning from rewards of whole answers.

    Attributes:
        algorithm: "grpo" (Shao et al. 2024) or "rloo" (Ahmadian et al. 2024).
        max_prompts: prompts learned from at most, drawn with `seed`; 0 = all.
        samples: answers drawn to a prompt, which are compared with each other; `batch_size` counts
            answers.
        new_tokens: of an answer at most.
        temperature: answers are drawn at.
        beta: strength of the tie to the starting model.
        max_kl: nats a token that answers of the last ten steps may diverge from that model.
        rewards: parts of the reward.
        reward_model: folder of the reward model; "" = none.
        samples_every: steps between those whose answers are kept to be read.
        held_out_prompts: validation prompts answered before and after, at most.
    """

    algorithm: Algorithm
    max_prompts: int
    samples: int
    new_tokens: int
    temperature: float
    beta: float
    max_kl: float
    rewards: list[PartSettings]
    reward_model: str
    samples_every: int
    held_out_prompts: int

    @property
    def model_folders(self) -> tuple[str, ...]:
        """Fields that name folders of models; an empty one names none."""
        return ("model", "reward_model")


RUN = RlhfRun
