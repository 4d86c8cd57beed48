"""Attention as the formula has it, softmax(QKᵀ/√d)V (Vaswani et al. 2017).

`attend` in `llm/model/transformer.py` computes the same without ever holding all scores, which is
what makes it fast and what makes it hard to read. This one is to be read, and to test that one by.

B is a batch, T queries, S keys and values, d the size of a head, H query heads, K key heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def causal_mask(queries: Tensor, keys: Tensor) -> Tensor:
    """True where a query may look, at itself and at what is behind it: boolean (T, S).

    The T queries are the last of the S positions, as in generation with a cache of the others.
    """
    length, positions = queries.shape[-2], keys.shape[-2]
    everywhere = torch.ones(length, positions, dtype=torch.bool, device=queries.device)
    return everywhere.tril(positions - length)


def attention_weights(queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """What share of its output each query takes from each position; every row sums to 1.

    (..., T, d) and (..., S, d) -> (..., T, S).

    Args:
        mask: boolean (..., T, S), true where a query may look; in every row at least once.
    """
    scores = queries @ keys.mT / math.sqrt(queries.shape[-1])  # (..., T, S)
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1)


def attend_one_head(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """For each query a weighted average of the values: (..., T, d), (..., S, d) twice ->
    (..., T, d)."""
    return attention_weights(queries, keys, mask) @ values  # (..., T, S) @ (..., S, d)


def attend_many_heads(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Each head for itself: (B, H, T, d) on (B, K, S, d) twice -> (B, H, T, d).

    With K = H this is multi-head attention, with K = 1 multi-query attention, between them
    grouped-query attention (Ainslie et al. 2023): H / K neighbouring query heads share a key head.
    """
    sharing = queries.shape[1] // keys.shape[1]
    keys = keys.repeat_interleave(sharing, dim=1)  # (B, H, S, d)
    values = values.repeat_interleave(sharing, dim=1)
    return attend_one_head(queries, keys, values, mask)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, heads * d) -> (B, heads, T, d)."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, T, d) -> (B, T, heads * d)."""
    return x.transpose(1, 2).flatten(2)
