"""Attention by its formula, softmax(QKᵀ/√d)V, with nothing but PyTorch.

T positions, D numbers each; H heads of d = D/H numbers; K of them have keys and values.
"""

import math

import torch


def attention(q, k, v):
    """Each position takes a weighted average of what is behind it: three of (..., T, d)."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])  # (..., T, T): how well each query fits each key
    ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)  # true above the diagonal
    shares = scores.masked_fill(ahead, -math.inf).softmax(dim=-1)  # every row sums to 1
    return shares @ v


def grouped_attention(x, wq, wk, wv, wo, heads, key_heads):
    """Many heads over x (T, D); groups of query heads share a key head. One head each: H = K."""
    length, width = x.shape
    d = width // heads
    q = (x @ wq.T).view(length, heads, d).transpose(0, 1)  # (H, T, d)
    k = (x @ wk.T).view(length, key_heads, d).transpose(0, 1)  # (K, T, d)
    v = (x @ wv.T).view(length, key_heads, d).transpose(0, 1)
    k = k.repeat_interleave(heads // key_heads, dim=0)  # (H, T, d)
    v = v.repeat_interleave(heads // key_heads, dim=0)
    out = attention(q, k, v)
    return out.transpose(0, 1).reshape(length, width) @ wo.T  # heads side by side, then mixed
