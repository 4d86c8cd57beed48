"""The matrix products of a training step alone: no program that does them can beat it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.models import Step
from llm.model.architecture import Architecture
from llm.model.products import multiply
from llm.training import devices

# As the step has them: queries that attention takes at a time, and logits that there are at once.
_BLOCK, _LOGITS = 128, 1 << 21


def products(
    a: Architecture, batch_rows: int, length: int, precision: str, device: torch.device
) -> Step:
    """A step that does the forward and backward products of one, on numbers drawn once.

    Those of a matrix are of all rows by it, of their gradients by its transpose, and of both for
    its gradient. Attention leaves out blocks that lie ahead; the loss takes rows a piece at a time.
    """
    kind, positions = devices.dtype(precision), batch_rows * length
    heads, shared = a.heads * a.head_dim, a.key_value_heads * a.head_dim
    piece = min(positions, max(1, _LOGITS // a.vocabulary_size))

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=kind, device=device)

    def operands(rows: int, size: int, out: int) -> tuple[Tensor, Tensor, Tensor]:
        return draw(rows, size), draw(out, size), draw(rows, out)

    matrices = [
        operands(positions, a.hidden_size, heads + 2 * shared),
        operands(positions, heads, a.hidden_size),
        operands(positions, a.hidden_size, 2 * a.intermediate_size),
        operands(positions, a.intermediate_size, a.hidden_size),
    ]
    head = operands(piece, a.hidden_size, a.vocabulary_size)
    pairs, together = batch_rows * a.key_value_heads, a.heads // a.key_value_heads * _BLOCK
    queries, by_out = draw(pairs, together, a.head_dim), draw(pairs, together, a.head_dim)
    keys, values = draw(pairs, length, a.head_dim), draw(pairs, length, a.head_dim)
    ends = range(_BLOCK, length + 1, _BLOCK)
    shares = [draw(pairs, together, end) for end in ends]

    def train(x: Tensor, weight: Tensor, by_product: Tensor) -> None:
        multiply(x, weight)
        multiply(by_product, weight.t())
        by_product.t() @ x

    def attend(shares: Tensor, keys: Tensor, values: Tensor) -> None:
        queries @ keys.mT
        shares @ values
        shares.mT @ by_out
        by_out @ values.mT
        shares @ keys
        shares.mT @ queries

    @torch.no_grad()
    def step(number: int, rows: NDArray[np.int64]) -> float:
        for _ in range(a.layers):
            for each in matrices:
                train(*each)
            for end, block in zip(ends, shares, strict=True):
                attend(block, keys[:, :end], values[:, :end])
        for _ in range(0, positions, piece):
            train(*head)
        return float(head[0][0, 0])  # waits for a GPU

    return step
