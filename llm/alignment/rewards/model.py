"""The reward that a reward model gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from llm.alignment import reward_model
from llm.alignment.rewards.rollout import Reward, Rollout
from llm.model.config_file import check_tokenizer


def model(folder: Path, policy: Path, device: torch.device, batch_tokens: int) -> Reward:
    """Of the reward model in a folder.

    Args:
        policy: folder of the model whose answers are judged, by the same tokenizer.
        batch_tokens: of a forward pass at most, padding included.

    Raises:
        TokenizerMismatchError: the reward model was trained with another tokenizer.
        RewardModelError, ModelFolderError: the folder holds none.
    """
    check_tokenizer(folder, policy)
    found = reward_model.load(folder).to(device)
    context = found.transformer.architecture.context

    def judge(rollouts: Sequence[Rollout]) -> list[float]:
        # What a longer conversation began with, the model cannot see.
        rows = [rollout.conversation[-context:] for rollout in rollouts]
        rewards = reward_model.score(found, found.hidden, rows, batch_tokens, _quiet)
        return [float(reward) for reward in rewards]

    return judge


def _quiet(done: int, total: int) -> None:
    """A step's rollouts take too short a time to tell of."""
