"""The model as papers on µP write it, with its multipliers in the forward pass: for tests and for
reading. What trains is the plain model that `fold` makes of it, see `llm/model/parametrisation.py`.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from llm.model.parametrisation import Multipliers, folding
from llm.model.transformer import Attention, Transformer, rotary_tables, rotate


def logits(model: Transformer, tokens: Tensor, m: Multipliers) -> Tensor:
    """Of a model whose parameters are those before folding: (B, T) int64 -> (B, T, vocabulary)."""
    tables = rotary_tables(model.architecture, tokens.shape[1], tokens.device)
    x = m.embedding * model.model.embed_tokens(tokens)
    for block in model.model.blocks:
        x = x + m.residual * _attend(block.self_attn, block.input_layernorm(x), tables, m)
        x = x + m.residual * block.mlp(block.post_attention_layernorm(x))
    return cast("Tensor", m.output * model.lm_head(model.model.norm(x)))


def fold(model: Transformer, m: Multipliers) -> Transformer:
    """The plain model that gives the same logits without a multiplier; the first one stays."""
    folded = Transformer(model.architecture)
    factors = folding(model, m)
    given = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in folded.named_parameters():
            parameter.copy_(given[name] * factors[name])
    return folded


def _attend(attention: Attention, x: Tensor, tables: Tensor, m: Multipliers) -> Tensor:
    """Causal attention whose scores are queries times keys times multiplier / sqrt(head size)."""
    heads = (*x.shape[:2], -1, attention.head_dim)
    queries = attention.q_proj(x).view(heads)
    keys = attention.k_proj(x).view(heads)
    values = attention.v_proj(x).view(heads)
    if attention.q_norm is not None and attention.k_norm is not None:
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    queries, keys, values = (given.transpose(1, 2) for given in (queries, keys, values))
    out = F.scaled_dot_product_attention(
        rotate(queries, tables),
        rotate(keys, tables),
        values,
        is_causal=True,
        scale=m.attention * attention.head_dim**-0.5,
        enable_gqa=True,
    )
    return cast("Tensor", attention.o_proj(out.transpose(1, 2).flatten(2)))
