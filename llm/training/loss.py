"""Cross-entropy of the next token, without ever holding all logits.

Logits of a whole batch are the largest tensor of a small model's training. Here they exist for a
chunk of positions at a time: the forward pass computes a chunk's logits, its loss and, at once,
its gradients, and lets go of it. Nothing is computed twice.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from llm.training import devices

IGNORED = -100
# Logits of a chunk: on a CPU 8 MB of float32, which its caches hold; half a gigabyte elsewhere.
_CHUNK_LOGITS = {"cpu": 1 << 21}
_MOST_LOGITS = 1 << 27


def _chunk(weight: Tensor) -> int:
    """Positions at a time, for an output matrix (V, D)."""
    return max(1, _CHUNK_LOGITS.get(weight.device.type, _MOST_LOGITS) // weight.shape[0])


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, z_weight: float, dtype: Any
    ) -> tuple[Tensor, Tensor]:
        narrow = weight.to(dtype)
        by_hidden = torch.empty_like(hidden)
        by_weight = torch.zeros_like(weight, dtype=torch.float32)
        wide = devices.widest(hidden.device)
        nll = hidden.new_zeros((), dtype=wide)
        squares = hidden.new_zeros((), dtype=wide)
        size = _chunk(weight)
        for start in range(0, hidden.shape[0], size):
            piece = slice(start, start + size)
            x, y = hidden[piece].to(dtype), targets[piece]
            counted = y != IGNORED
            chosen = y.clamp(min=0)[:, None]
            # Wide first: on a CPU, log_softmax from bfloat16 to float32 takes forty times as long.
            logits = F.linear(x, narrow).float()
            gradient = torch.log_softmax(logits, -1)
            losses = -gradient.gather(1, chosen).squeeze(1)
            nll += (losses * counted).sum(dtype=wide)
            gradient.exp_()
            if z_weight:
                # d loss / d logits = softmax (1 + 2 z logsumexp) - one-hot
                partition = losses + logits.gather(1, chosen).squeeze(1)
                squares += (partition.square() * counted).sum(dtype=wide)
                gradient *= (1 + 2 * z_weight * partition)[:, None]
            gradient.scatter_add_(1, chosen, gradient.new_full(chosen.shape, -1.0))
            # A look at `counted` would make a GPU wait, a needless product costs a CPU memory.
            if hidden.device.type != "cpu" or not counted.all():
                gradient *= counted[:, None]
            narrow_gradient = gradient.to(dtype)
            by_hidden[piece] = (narrow_gradient @ narrow).to(hidden.dtype)
            by_weight += narrow_gradient.t() @ x
        ctx.save_for_backward(by_hidden, by_weight)
        return (nll + z_weight * squares).float(), nll.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        by_hidden, by_weight = ctx.saved_tensors
        return by_hidden * gradients[0], by_weight * gradients[0], None, None, None


def summed_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, z_weight: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Loss and negative log-likelihood, summed over positions, in nats.

    Sums, not means: divided by the tokens of the whole batch, gradients of its micro-batches add
    up to the batch's own, however it is cut.

    Args:
        hidden: (N, D) final hidden states.
        weight: (V, D) of the output matrix.
        targets: int64 (N,); `IGNORED` is not counted.
        z_weight: of the squared log-partition, which keeps logits from drifting
            (Chowdhery et al. 2022); 0 = none.
        dtype: matrices are multiplied in.

    Returns:
        Two float32 scalars; only the first, which has the z term, carries a gradient.
    """
    return _ChunkedLoss.apply(hidden, weight, targets, z_weight, dtype)  # type: ignore[no-any-return,no-untyped-call]


@torch.no_grad()
def token_losses(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """float32 (N,): the loss of each position; 0 where it is ignored. Arguments as above."""
    pieces = []
    size = _chunk(weight)
    for start in range(0, hidden.shape[0], size):
        piece = slice(start, start + size)
        logits = F.linear(hidden[piece].to(weight.dtype), weight).float()
        pieces.append(
            F.cross_entropy(logits, targets[piece], reduction="none", ignore_index=IGNORED)
        )
    return torch.cat(pieces)
