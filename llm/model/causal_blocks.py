"""Causal attention of short sequences on a CPU, a block of queries at a time.

What lies ahead of a block is never computed; queries that share a key head are rows of one
product, so that keys are not repeated. The softmax is in float32, and is divided by its sum only
after it has met the values, on far fewer numbers (as in Dao et al. 2022); what the backward pass
needs of it is kept, so that nothing is raised to a power twice. Both passes are written for a
compiler that makes one loop of what stands between two products: every tensor has its innermost
dimension last, and what is hidden is read from a table instead of being told from positions.

Shapes: P pairs of a row of the batch and a key head, G query heads of each, T sequence, d head_dim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

# Up to this length, blocks of plain matrix products beat scaled_dot_product_attention on CPUs.
SHORT = 1024
_BLOCK = 128


@cache
def ahead() -> Tensor:
    """float32 (block, `SHORT`): what is added to scores of a block of queries.

    Minus infinity above the diagonal of the last columns, 0 elsewhere; a block that begins at
    position s takes the columns from SHORT - block - s on.
    """
    with torch.inference_mode(False):  # what generation makes, training may meet
        table = torch.zeros(_BLOCK, SHORT)
        table[:, -_BLOCK:] = torch.full((_BLOCK, _BLOCK), float("-inf")).triu(1)
    return table


def attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
    """(B, H, T, d): causal attention of (B, H, T, d) on (B, K, T, d), T at most `SHORT`.

    Args:
        hidden: `ahead()`; an argument, since compiled code computes anew what it makes itself.
    """
    batch, heads, length, size = queries.shape
    pairs = batch * keys.shape[1]
    out: Tensor = _Blocks.apply(  # type: ignore[no-untyped-call]
        queries.reshape(pairs, -1, length, size),
        keys.reshape(pairs, length, size),
        values.reshape(pairs, length, size),
        hidden,
    )
    return out.view(batch, heads, length, size)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """Where blocks begin and end."""
    for start in range(0, length, _BLOCK):
        yield start, min(start + _BLOCK, length)


def _rows(x: Tensor, start: int, end: int) -> Tensor:
    """(P, G * rows, d): a block of (P, G, T, d)."""
    return x[:, :, start:end].reshape(x.shape[0], -1, x.shape[-1])


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        pairs, groups, length, size = queries.shape
        found, kept = [], []
        for start, end in _blocks(length):
            by_head = (pairs, groups, end - start, -1)
            first = SHORT - _BLOCK - start
            scores = (_rows(queries, start, end) @ keys[:, :end].mT).view(by_head).float()
            scores = scores * size**-0.5 + hidden[: end - start, first : first + end]
            powers = (scores - scores.amax(-1, keepdim=True)).exp().to(values.dtype)
            inverse = 1 / powers.float().sum(-1, keepdim=True)
            powers = powers.view(pairs, -1, end)
            out = (powers @ values[:, :end]).view(by_head).float() * inverse
            found.append(out.to(values.dtype))
            kept += [powers, inverse]
        together = torch.cat(found, 2)
        ctx.save_for_backward(queries, keys, values, together, *kept)
        return together

    @staticmethod
    def backward(ctx: Any, *by_out: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, out, *kept = ctx.saved_tensors
        [by_out_all] = by_out
        pairs, groups, length, size = queries.shape
        kind = by_out_all.dtype
        by_queries, by_keys, by_values = [], [], []
        for number, (start, end) in enumerate(_blocks(length)):
            powers, inverse = kept[2 * number : 2 * number + 2]
            by_head = (pairs, groups, end - start, -1)
            scaled = by_out_all[:, :, start:end].float() * inverse
            # Of the softmax's derivative, what all scores of a row have in common.
            common = (scaled * out[:, :, start:end].float()).sum(-1, keepdim=True)
            scaled = scaled.to(kind).reshape(pairs, -1, size)
            by_powers = (scaled @ values[:, :end].mT).view(by_head).float()
            by_scores = powers.view(by_head).float() * (by_powers - common) * size**-0.5
            by_scores = by_scores.to(kind).view(pairs, -1, end)
            by_queries.append((by_scores @ keys[:, :end]).view(by_head))
            by_keys.append(by_scores.mT @ _rows(queries, start, end))
            by_values.append(powers.mT @ scaled)
        return torch.cat(by_queries, 2), _overlaid(by_keys), _overlaid(by_values), None


def _overlaid(pieces: Sequence[Tensor]) -> Tensor:
    """(P, T, d): the sum of tensors (P, end, d) that all begin at position 0 and grow by a block.

    Block by block, since a loop over positions that some of them lack asks at each of them.
    """
    found = []
    for number, last in enumerate(torch.split(pieces[-1], _BLOCK, 1)):
        total = last.float()
        for piece in pieces[number:-1]:
            total = total + piece[:, number * _BLOCK : (number + 1) * _BLOCK].float()
        found.append(total.to(last.dtype))
    return torch.cat(found, 1)
