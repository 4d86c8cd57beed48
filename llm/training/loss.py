"""Cross-entropy of the next token, without ever holding all logits.

Logits of a whole batch are the largest tensor of a small model's training. Here they exist for a
chunk of positions at a time: the forward pass computes a chunk's logits, its loss and, at once,
its gradients, and lets go of it. Nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from llm.model.products import multiply
from llm.training import devices

IGNORED = -100
# Logits of a chunk: on a CPU 8 MB of float32, which its caches hold; half a gigabyte elsewhere.
_ON_CPU, _ELSEWHERE = 1 << 21, 1 << 27


def _chunk(weight: Tensor) -> int:
    """Positions at a time, for an output matrix (V, D)."""
    return max(1, _max_logits(weight.device) // weight.shape[0])


@cache
def _max_logits(device: torch.device) -> int:
    """Of a GPU, what takes a hundredth of its memory: fewer, larger pieces keep it busier."""
    if device.type != "cuda":
        return _ON_CPU if device.type == "cpu" else _ELSEWHERE
    fits = torch.cuda.get_device_properties(device).total_memory // 512
    return 1 << (int(fits).bit_length() - 1)  # batches are powers of two, more often than not


def softmax(
    logits: Tensor, chosen: Tensor, counted: Tensor | None, z_weight: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """What does not multiply matrices, apart so that it can be compiled into one pass.

    Args:
        logits: (N, V).
        chosen: int64 (N, 1), the targets.
        counted: bool (N,), rows that count; `None` = all.

    Returns:
        Losses and log-partitions, float32 (N,); and (N, V) in `dtype`, the derivative of the
        loss by the logits everywhere but at the targets.
    """
    # Wide first: on a CPU, log_softmax from bfloat16 to float32 takes forty times as long.
    logits = logits.float()
    gradient = torch.log_softmax(logits, -1)
    losses = -gradient.gather(1, chosen).squeeze(1)
    partition = losses + logits.gather(1, chosen).squeeze(1)
    gradient.exp_()
    if z_weight:
        # d loss / d logits = softmax (1 + 2 z logsumexp) - one-hot
        gradient *= (1 + 2 * z_weight * partition)[:, None]
    if counted is not None:
        gradient *= counted[:, None]
    return losses, partition, gradient.to(dtype)


Softmax = Callable[
    [Tensor, Tensor, Tensor | None, float, torch.dtype], tuple[Tensor, Tensor, Tensor]
]


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        z_weight: float,
        dtype: torch.dtype,
        softmax: Softmax,
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
            # A look at `counted` would make a GPU wait, a needless product costs a CPU memory.
            whole = hidden.device.type == "cpu" and bool(counted.all())
            losses, partition, gradient = softmax(
                multiply(x, narrow), chosen, None if whole else counted, z_weight, dtype
            )
            nll += (losses * counted).sum(dtype=wide)
            # Written, not subtracted: in bfloat16, 1 - p of a probability near 1 would be lost.
            at_target = torch.expm1(-losses)
            if z_weight:
                squares += (partition.square() * counted).sum(dtype=wide)
                at_target += 2 * z_weight * partition * torch.exp(-losses)
            gradient.scatter_(1, chosen, (at_target * counted)[:, None].to(dtype))
            by_hidden[piece] = multiply(gradient, narrow.t()).to(hidden.dtype)
            by_weight += gradient.t() @ x
        ctx.save_for_backward(by_hidden, by_weight)
        return (nll + z_weight * squares).float(), nll.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_hidden, by_weight = ctx.saved_tensors
        return by_hidden * gradients[0], by_weight * gradients[0], None, None, None, None


def summed_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    z_weight: float,
    dtype: torch.dtype,
    softmax: Softmax = softmax,
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
        softmax: the function of that name, or what it was compiled to.

    Returns:
        Two float32 scalars; only the first, which has the z term, carries a gradient.
    """
    return _ChunkedLoss.apply(hidden, weight, targets, z_weight, dtype, softmax)  # type: ignore[no-any-return,no-untyped-call]


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
