"""What each parameter of the model is: by this, not by its name, optimisers tell them apart.

| role | parameters |
|---|---|
| matrix | what maps the residual stream to itself: projections of attention and MLP |
| embedding | a row a token; tied, it is the output matrix too |
| output | a row a token, from the residual stream to logits |
| vector | norms: a factor a channel |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from llm.model.transformer import RMSNorm, Transformer

Role = Literal["matrix", "embedding", "output", "vector"]
_ROLES: Mapping[type[nn.Module], Role] = {
    nn.Linear: "matrix",
    nn.Embedding: "embedding",
    RMSNorm: "vector",
}


def roles(model: Transformer) -> dict[str, Role]:
    """The role of each parameter by its name, in the order of `model.named_parameters()`.

    Raises:
        TypeError: a module that holds parameters has no role declared here.
    """
    found: dict[str, Role] = {}
    for name, _ in model.named_parameters():  # a tied matrix under its first name, the embedding's
        module = model.get_submodule(name.rpartition(".")[0])
        role = next((role for kind, role in _ROLES.items() if isinstance(module, kind)), None)
        if role is None:
            raise TypeError(f"{name}: {type(module).__name__} has no role in {__name__}")
        found[name] = "output" if module is model.lm_head else role
    return found
