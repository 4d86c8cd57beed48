"""Optimisers and which parameters each of them has.

| parameters | "adamw" | "muon" | weight decay |
|---|---|---|---|
| matrices of the blocks | AdamW | Muon | yes |
| embedding, output matrix | AdamW | AdamW | no |
| norms | AdamW | AdamW | no |
"""

from __future__ import annotations

import torch
from torch import nn

from llm.training.run_file import Optimisation

OPTIMISERS = ("adamw", "muon")


class OptimiserUnavailableError(RuntimeError):
    """The optimiser asked for is not in this PyTorch."""


def build(model: nn.Module, o: Optimisation) -> list[torch.optim.Optimizer]:
    """The optimisers of a model, at the peak learning rate.

    Muon orthogonalises the momentum of each matrix (Jordan et al. 2024); its update is scaled to
    the size AdamW's has (Liu et al. 2025), so both take the same learning rate.

    Raises:
        OptimiserUnavailableError: no such optimiser, or this PyTorch has no Muon.
    """
    if o.optimiser not in OPTIMISERS:
        known = ", ".join(OPTIMISERS)
        raise OptimiserUnavailableError(f"optimiser {o.optimiser!r} is none of {known}")
    matrices = [p for name, p in model.named_parameters() if ".layers." in name and p.ndim == 2]
    held = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in held]
    groups: list[dict[str, object]] = [{"params": others, "weight_decay": 0.0}]
    found: list[torch.optim.Optimizer] = []
    if o.optimiser == "muon":
        if not hasattr(torch.optim, "Muon"):
            raise OptimiserUnavailableError(
                f"PyTorch {torch.__version__} has no torch.optim.Muon (2.9 brought it); "
                "choose pretrain.optimiser=adamw"
            )
        found.append(
            torch.optim.Muon(
                matrices,
                lr=o.learning_rate,
                weight_decay=o.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    else:
        groups.append({"params": matrices, "weight_decay": o.weight_decay})
    betas = (o.beta1, o.beta2)
    found.append(torch.optim.AdamW(groups, lr=o.learning_rate, betas=betas, eps=1e-8))
    return found


def set_learning_rate(optimisers: list[torch.optim.Optimizer], rate: float) -> None:
    """Give every parameter group this learning rate."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
