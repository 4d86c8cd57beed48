"""Optimisers and which parameters each of them has, by their roles (llm/model/parametrisation.py).

| role | "adamw" | "muon" | weight decay |
|---|---|---|---|
| matrix | AdamW | Muon | yes |
| embedding, output | AdamW | AdamW | no |
| vector | AdamW | AdamW | no |
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from llm.errors import ExpectedError
from llm.model.parametrisation import roles
from llm.model.transformer import Transformer
from llm.training import devices
from llm.training.muon import ALONE, Muon, Orthogonaliser
from llm.training.run_file import Optimisation, Optimiser

OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
SHARE = "share"


class UnknownOptimiserError(ExpectedError, ValueError):
    """An optimiser of that name is not there."""


def muon_precision(device: torch.device) -> str:
    """What Newton-Schulz is computed in: on a GPU that multiplies bf16 in it, as the method was
    published; elsewhere in float32.

    A CPU that multiplies bf16 would save a twentieth of a small model's step with it. What it would
    cost is not settled: three runs of 4.5 M tokens ended at 1.51, 1.54 and 1.57 bits a byte with
    float32 here, the one with bf16 at 1.61; after 3 M tokens the two were equal.
    """
    return "bf16" if device.type != "cpu" and devices.multiplies_bf16(device) else "fp32"


def build(
    model: Transformer, o: Optimisation, orthogonaliser: Orthogonaliser = ALONE
) -> list[torch.optim.Optimizer]:
    """The optimisers of a model, on the device it is on, at the peak learning rate.

    Args:
        orthogonaliser: Muon's.

    Raises:
        UnknownOptimiserError: no such optimiser.
    """
    parameters, role = dict(model.named_parameters()), roles(model)
    matrices = [p for name, p in parameters.items() if role[name] == "matrix"]
    others = [p for name, p in parameters.items() if role[name] != "matrix"]
    return for_parameters(matrices, others, o, orthogonaliser)


def for_parameters(
    matrices: list[nn.Parameter],
    others: list[nn.Parameter],
    o: Optimisation,
    orthogonaliser: Orthogonaliser = ALONE,
) -> list[torch.optim.Optimizer]:
    """The same for parameters that somebody else told apart.

    Raises:
        UnknownOptimiserError: no such optimiser.
    """
    if o.optimiser not in OPTIMISERS:
        known = ", ".join(OPTIMISERS)
        raise UnknownOptimiserError(f"optimiser {o.optimiser!r} is none of {known}")
    groups: list[dict[str, object]] = [{"params": others, "weight_decay": 0.0}]
    found: list[torch.optim.Optimizer] = []
    if o.optimiser == "muon":
        device = matrices[0].device
        kind = devices.dtype(muon_precision(device))
        decay = o.weight_decay
        found.append(Muon(matrices, o.learning_rate, decay, kind, orthogonaliser=orthogonaliser))
    else:
        groups.append({"params": matrices, "weight_decay": o.weight_decay})
    betas = (o.beta1, o.beta2)
    # One kernel for all parameters, where there are kernels.
    fused = others[0].is_cuda
    found.append(torch.optim.AdamW(groups, lr=o.learning_rate, betas=betas, eps=1e-8, fused=fused))
    return found


def set_learning_rate(optimisers: list[torch.optim.Optimizer], rate: float) -> None:
    """Give every parameter group its share of this learning rate: what it holds under `SHARE`, and
    all of it where it holds nothing."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get(SHARE, 1.0)


def take_step(optimisers: list[torch.optim.Optimizer], skip: Tensor) -> None:
    """A step of all of them, or none at all: then weights, moments and counts stay what they are.

    Args:
        skip: bool (), on the device. A GPU is not waited for: its kernels look for themselves, by
            what is made for gradients that overflow (`torch.amp.GradScaler`).
    """
    if skip.device.type != "cuda":
        if not skip:
            for optimiser in optimisers:
                optimiser.step()
        return
    take_step_on_device(optimisers, skip)


def take_step_on_device(optimisers: list[torch.optim.Optimizer], skip: Tensor) -> None:
    """The same, with optimisers that look for themselves: Muon and a fused AdamW."""
    for optimiser in optimisers:
        optimiser.found_inf = skip.float()  # type: ignore[attr-defined]
        optimiser.step()
        optimiser.found_inf = None  # type: ignore[attr-defined]
