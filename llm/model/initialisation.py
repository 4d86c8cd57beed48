"""First weights of a model, as `llm/model/parametrisation.py` says they are distributed."""

from __future__ import annotations

import torch

from llm.model.parametrisation import treatments
from llm.model.parametrisation_choice import STANDARD, Parametrisation
from llm.model.transformer import Transformer


def initialise(model: Transformer, seed: int, parametrisation: Parametrisation = STANDARD) -> None:
    """Fill every parameter, deterministically: equal seeds give equal weights on every device, and
    the same ones but for their scale in every parametrisation."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    treated = treatments(model, parametrisation)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            treatment = treated[name]
            if treatment.role == "vector":
                parameter.fill_(treatment.mean)
                continue
            drawn = torch.empty(parameter.shape)
            drawn.normal_(treatment.mean, treatment.std, generator=generator)
            parameter.copy_(drawn)
