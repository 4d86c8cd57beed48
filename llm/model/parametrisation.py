"""How each parameter begins and how fast it learns, by what it is and by the size of the model.

A parametrisation says how first weights and learning rates change with width and depth. "standard"
has GPT-2's first weights (Radford et al. 2019) and one rate for all. "mup" is µP (Yang et al.
2022, "Tensor Programs V") with the depth scaling of CompleteP (Dey et al. 2025, alpha = 1): the
rate found on a small model is that of a large one. At its base sizes it is "standard".

With m = width / base width, n = layers / base layers, h = head size / base head size:

| parameter | first weights | AdamW's rate | Muon's rate | AdamW's epsilon | multiplier |
|---|---|---|---|---|---|
| embedding | normal, 0.02 | 1 | - | 1/m | 1 |
| q, k, v, gate, up | normal, 0.02 / sqrt(m) | 1/m | 1/sqrt(m) | 1/(m n) | 1 |
| o, down | normal, 0.02 / sqrt(2 x base layers) / sqrt(m) | 1/m | 1/sqrt(m) | 1/(m n) | 1/n |
| norms in blocks | one | 1 | - | 1/(m n) | 1 |
| final norm | one | 1 | - | 1/m | 1 |
| output | normal, 0.02 | 1 | - | 1/m | 1/m |
| scores of attention | | | | | 1/sqrt(h) |

Rate times weight decay is the same at all sizes.

The last column never reaches the model. A weight W that is used as a W, with first weights of
deviation s, rate r and epsilon e, trains as the weight aW does with a s, a r and e / a: neither
AdamW nor Muon looks at the size of a gradient. So each multiplier is taken into a parameter before
the first step (`treatments`), and what trains is at every moment a plain Qwen3 or Llama: of an
untied model the output takes its own, of a tied one the final norm; attention's goes to the norm
of the queries, or to their matrix where they have none.

Muon's rate follows from its update, whose singular values are all 0.2 sqrt(max(rows, columns)): to
move features as much at every width they must stay of one size (Yang, Simon and Bernstein 2023).
MLP and heads are taken to grow with the width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from llm.model.architecture import Architecture
from llm.model.parametrisation_choice import Parametrisation
from llm.model.transformer import RMSNorm, Transformer

Role = Literal["matrix", "embedding", "output", "vector"]
_ROLES: Mapping[type[nn.Module], Role] = {
    nn.Linear: "matrix",
    nn.Embedding: "embedding",
    RMSNorm: "vector",
}
_STD = 0.02


@dataclass(frozen=True)
class Multipliers:
    """What a model that is written as papers write it multiplies with.

    Attributes:
        embedding: of the residual stream's first value.
        output: of logits.
        attention: of scores, beside 1 / sqrt(head size).
        residual: of what each branch adds to the residual stream.
    """

    embedding: float
    output: float
    attention: float
    residual: float


@dataclass(frozen=True)
class Treatment:
    """How a parameter begins, and how it learns.

    Attributes:
        role: what it is to optimisers.
        mean, std: of the normal distribution its first values are from; 0 deviation = constant.
        adamw_rate, muon_rate: its share of the learning rate.
        epsilon: its factor on AdamW's epsilon.
    """

    role: Role
    mean: float
    std: float
    adamw_rate: float
    muon_rate: float
    epsilon: float

    @property
    def decays(self) -> bool:
        """Whether weight decay is on it."""
        return self.role == "matrix"

    def times(self, multiplier: float) -> Treatment:
        """That of the weight with a multiplier taken into it: the same training."""
        return replace(
            self,
            mean=self.mean * multiplier,
            std=self.std * multiplier,
            adamw_rate=self.adamw_rate * multiplier,
            muon_rate=self.muon_rate * multiplier,
            epsilon=self.epsilon / multiplier,
        )


def plain(role: Role) -> Treatment:
    """One whose rate and epsilon are those of the optimiser."""
    constant = role == "vector"
    return Treatment(role, float(constant), 0.0 if constant else _STD, 1.0, 1.0, 1.0)


def roles(model: Transformer) -> dict[str, Role]:
    """The role of each parameter by its name, in the order of `model.named_parameters()`.

    | role | parameters |
    |---|---|
    | matrix | what maps the residual stream to itself: projections of attention and MLP |
    | embedding | a row a token; tied, it is the output matrix too |
    | output | a row a token, from the residual stream to logits |
    | vector | norms: a factor a channel |

    Raises:
        TypeError: a module that holds parameters has no role declared here.
    """
    found: dict[str, Role] = {}
    for name, module in _holders(model).items():
        role = next((role for kind, role in _ROLES.items() if isinstance(module, kind)), None)
        if role is None:
            raise TypeError(f"{name}: {type(module).__name__} has no role in {__name__}")
        found[name] = "output" if module is model.lm_head else role
    return found


def treatments(model: Transformer, parametrisation: Parametrisation) -> dict[str, Treatment]:
    """How each parameter of the stock model is treated, multipliers taken in; by its name, in the
    order of `model.named_parameters()`.

    Raises:
        TypeError: a module that holds parameters has no role.
    """
    factors = folding(model, multipliers(model.architecture, parametrisation))
    return {
        name: treatment.times(factors[name])
        for name, treatment in published(model, parametrisation).items()
    }


def published(model: Transformer, parametrisation: Parametrisation) -> dict[str, Treatment]:
    """The same as papers have it: for a model that multiplies (`llm/model/multipliers.py`)."""
    a, p = model.architecture, parametrisation
    width, depth, base_layers = _sizes(a, p)
    into_residual = {id(module) for module in _into_residual(model)}
    residual = 0.0 if p.zero_init else _STD / math.sqrt(2 * base_layers)
    role, found = roles(model), {}
    for name, module in _holders(model).items():
        treatment = plain(role[name])
        if treatment.role == "matrix":
            std = residual if id(module) in into_residual else _STD
            treatment = replace(
                treatment,
                std=std / math.sqrt(width),
                adamw_rate=1 / width,
                muon_rate=1 / math.sqrt(width),
            )
        in_block = treatment.role in ("matrix", "vector") and module is not model.model.norm
        found[name] = replace(treatment, epsilon=1 / (width * (depth if in_block else 1)))
    return found


def multipliers(architecture: Architecture, parametrisation: Parametrisation) -> Multipliers:
    """The last column of the table."""
    width, depth, _ = _sizes(architecture, parametrisation)
    attention = 1.0
    if parametrisation.kind == "mup":
        attention = math.sqrt(parametrisation.base_head_dim / architecture.head_dim)
    return Multipliers(1.0, 1 / width, attention, 1 / depth)


def folding(model: Transformer, m: Multipliers) -> dict[str, float]:
    """By the name of each parameter, what it is multiplied with so that nothing else need be."""
    by_module = {id(module): m.residual for module in _into_residual(model)}
    by_module[id(model.model.embed_tokens)] = m.embedding
    if model.architecture.tied:  # the embedding is in the logits already
        by_module[id(model.model.norm)] = m.output / m.embedding
    else:
        by_module[id(model.lm_head)] = m.output
    for block in model.model.blocks:
        attention = block.self_attn
        queries = attention.q_proj if attention.q_norm is None else attention.q_norm
        by_module[id(queries)] = m.attention
    return {name: by_module.get(id(module), 1.0) for name, module in _holders(model).items()}


def _sizes(a: Architecture, p: Parametrisation) -> tuple[float, float, int]:
    """Width and depth as multiples of the base's, and the base's layers."""
    if p.kind == "standard":  # every model is its own base
        return 1.0, 1.0, a.layers
    return a.hidden_size / p.base_width, a.layers / p.base_layers, p.base_layers


def _holders(model: Transformer) -> dict[str, nn.Module]:
    """The module that holds each parameter; of a tied matrix the first, the embedding."""
    return {
        name: model.get_submodule(name.rpartition(".")[0]) for name, _ in model.named_parameters()
    }


def _into_residual(model: Transformer) -> list[nn.Module]:
    return [
        module
        for block in model.model.blocks
        for module in (block.self_attn.o_proj, block.mlp.down_proj)
    ]
