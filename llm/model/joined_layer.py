"""A block's matrices joined for generation: one product for queries, keys and values, one for gates
and values of the MLP, and norms of queries and keys at once.

Shapes: D hidden_size, H heads, K key_value_heads, d head_dim, I intermediate_size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llm.model.transformer import Block


@dataclass(frozen=True)
class JoinedLayer:
    """What a block multiplies with.

    Attributes:
        into_attention, into_mlp: weights of the norms, (D,).
        queries_keys_values: ((H + 2 K) d, D).
        queries_keys: norms of each head, (H + K, d), in which the scale of queries is; none where
            there are no such norms, and the scale is in the product.
        out: (D, H d).
        gates_values: (2 I, D), gates first.
        down: (D, I).
    """

    into_attention: Tensor
    queries_keys_values: Tensor
    queries_keys: Tensor | None
    out: Tensor
    into_mlp: Tensor
    gates_values: Tensor
    down: Tensor


@torch.no_grad()
def join(block: Block, dtype: torch.dtype) -> JoinedLayer:
    """In a dtype; what need not be changed for it is the block's own."""
    attention, mlp = block.self_attn, block.mlp
    products = (attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
    queries_keys_values = torch.cat(products).to(dtype)
    scale = attention.head_dim**-0.5
    heads = len(attention.q_proj.weight) // attention.head_dim
    norms = None
    if attention.q_norm is not None and attention.k_norm is not None:
        of_keys = len(attention.k_proj.weight) // attention.head_dim
        norms = torch.cat(
            (
                (attention.q_norm.weight * scale).expand(heads, -1),
                attention.k_norm.weight.expand(of_keys, -1),
            )
        ).to(dtype)
    else:
        queries_keys_values[: heads * attention.head_dim] *= scale
    return JoinedLayer(
        into_attention=block.input_layernorm.weight.detach().to(dtype),
        queries_keys_values=queries_keys_values,
        queries_keys=norms,
        out=attention.o_proj.weight.detach().to(dtype),
        into_mlp=block.post_attention_layernorm.weight.detach().to(dtype),
        gates_values=torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)).to(dtype),
        down=mlp.down_proj.weight.detach().to(dtype),
    )
