"""Optimisers, which parameters each of them has, and which share of the learning rate each of
these has: by their roles and treatments (llm/model/parametrisation.py).

| role | "adamw" | "muon" | weight decay |
|---|---|---|---|
| matrix | AdamW | Muon | yes |
| embedding, output | AdamW | AdamW | no |
| vector | AdamW | AdamW | no |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from llm.errors import ExpectedError
from llm.model.parametrisation import Treatment, treatments
from llm.model.transformer import Transformer
from llm.training import devices
from llm.training.muon import ALONE, Muon, Orthogonaliser
from llm.training.run_file import Optimisation, Optimiser

OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
SHARE = "share"
_EPSILON = 1e-8


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
    treated = treatments(model, o.parametrisation)
    parameters = [(parameter, treated[name]) for name, parameter in model.named_parameters()]
    return for_parameters(parameters, o, orthogonaliser)


def for_parameters(
    parameters: Sequence[tuple[nn.Parameter, Treatment]],
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
    by_muon: dict[_Settings, list[nn.Parameter]] = defaultdict(list)
    by_adamw: dict[_Settings, list[nn.Parameter]] = defaultdict(list)
    for parameter, treatment in sorted(parameters, key=lambda each: each[1].decays):
        if o.optimiser == "muon" and treatment.role == "matrix":
            by_muon[_Settings(treatment.decays, treatment.muon_rate, 1.0)].append(parameter)
        else:
            settings = _Settings(treatment.decays, treatment.adamw_rate, treatment.epsilon)
            by_adamw[settings].append(parameter)
    found: list[torch.optim.Optimizer] = []
    if by_muon:
        device = parameters[0][0].device
        kind = devices.dtype(muon_precision(device))
        groups = [{"params": held, **settings.shared(o)} for settings, held in by_muon.items()]
        found.append(
            Muon(groups, o.learning_rate, o.weight_decay, kind, orthogonaliser=orthogonaliser)
        )
    groups = [
        {"params": held, **settings.shared(o), "eps": _EPSILON * settings.epsilon}
        for settings, held in by_adamw.items()
    ]
    betas = (o.beta1, o.beta2)
    # One pass over a parameter and its states, where there is a kernel for it.
    fused = parameters[0][0].device.type in ("cuda", "cpu")
    found.append(torch.optim.AdamW(groups, lr=o.learning_rate, betas=betas, fused=fused))
    return found


class _Settings(NamedTuple):
    """What parameters of a group have in common."""

    decays: bool
    rate: float
    epsilon: float

    def shared(self, o: Optimisation) -> dict[str, float]:
        # An optimiser multiplies its decay with the group's rate: the product is to be one for all.
        decay = o.weight_decay / self.rate if self.decays else 0.0
        return {"lr": o.learning_rate * self.rate, SHARE: self.rate, "weight_decay": decay}


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
