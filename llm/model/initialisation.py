"""First weights of a model.

| parameter | distribution |
|---|---|
| embeddings, q, k, v, gate, up, lm_head | normal, standard deviation 0.02 (Radford et al. 2019) |
| o, down: what writes to the residual stream | normal, 0.02 / sqrt(2 x layers) |
| norms | one |
"""

from __future__ import annotations

import math

import torch
from torch import nn

from llm.model.transformer import Transformer

_STD = 0.02
_RESIDUAL = ("o_proj.weight", "down_proj.weight")


def initialise(model: Transformer, seed: int) -> None:
    """Fill every parameter, deterministically: equal seeds give equal weights on every device."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    residual = _STD / math.sqrt(2 * model.architecture.layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                nn.init.ones_(parameter)
                continue
            std = residual if name.endswith(_RESIDUAL) else _STD
            drawn = torch.empty(parameter.shape).normal_(0.0, std, generator=generator)
            parameter.copy_(drawn)
