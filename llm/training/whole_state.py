"""Weights and optimiser states in two files, as one process holds them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

WEIGHTS, OPTIMISERS = FILES = ("weights.safetensors", "optimisers.pt")


def save(folder: Path, model: nn.Module, optimisers: list[Optimizer]) -> None:
    """Write both.

    Raises:
        OSError: no space, or no permission.
    """
    weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    save_file(weights, folder / WEIGHTS)
    torch.save([optimiser.state_dict() for optimiser in optimisers], folder / OPTIMISERS)


def load(folder: Path, model: nn.Module, optimisers: list[Optimizer]) -> None:
    """Put what was saved in place."""
    state = load_file(folder / WEIGHTS)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[name])
    # On the CPU: loading puts moments beside their weights and leaves AdamW's counts there.
    states = torch.load(folder / OPTIMISERS, map_location="cpu", weights_only=True)
    for optimiser, saved in zip(optimisers, states, strict=True):
        optimiser.load_state_dict(saved)
