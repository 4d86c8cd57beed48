"""Norms of gradients: of all, and of groups of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from llm.model.parametrisation import Role, roles
from llm.model.transformer import Transformer


def gradient_norms(parameters: Sequence[nn.Parameter]) -> Tensor:
    """(P,): the norm of each parameter's gradient."""
    return torch.stack(torch._foreach_norm([_gradient(parameter) for parameter in parameters]))


def _gradient(parameter: nn.Parameter) -> Tensor:
    # A parameter that took no part has none.
    return parameter.new_zeros(1) if parameter.grad is None else parameter.grad


class NormGroups:
    """Parameters by their role (`llm/model/parametrisation.py`).

    Attributes:
        names: of the roles there are, in the order of their first parameters.
    """

    def __init__(self, model: Transformer, device: torch.device) -> None:
        held = list(roles(model).values())
        self.names: list[Role] = list(dict.fromkeys(held))
        members = [[role == name for name in self.names] for role in held]
        self._members = torch.tensor(members, device=device)

    def norms(self, norms: Tensor) -> Tensor:
        """(G,): of each group's gradients, from those of all parameters, (P,)."""
        # Not a product: one that is no number would be in all groups.
        return torch.where(self._members, norms.square()[:, None], 0.0).sum(0).sqrt()
