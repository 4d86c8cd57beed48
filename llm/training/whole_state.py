"""Weights and optimiser states in two files, as one process holds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

WEIGHTS, OPTIMISERS = ("weights.safetensors", "optimisers.pt")


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
    place_weights(model, load_file(folder / WEIGHTS))
    # On the CPU: loading puts moments beside their weights and leaves AdamW's counts there.
    states = torch.load(folder / OPTIMISERS, map_location="cpu", weights_only=True)
    for optimiser, saved in zip(optimisers, states, strict=True):
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for place, held in saved["state"].items():
            like = parameters[place]
            saved["state"][place] = {
                key: _place(value, like) if value.shape == like.shape else value
                for key, value in held.items()
            }
        optimiser.load_state_dict(saved)


def place_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model these, by the names of its parameters; of a sharded one each process its
    share."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_place(weights[name], parameter))


def _place(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, or the share of it that a process holds of one that is shared out."""
    if not hasattr(like, "device_mesh"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    whole = value.to(like.device)
    # Each process has read the file: nobody sends anything.
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
