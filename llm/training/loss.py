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
    logits: Tensor, chosen: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What does not multiply matrices, apart so that it can be compiled into few passes.

    Args:
        logits: (N, V).
        chosen: int64 (N, 1), the targets.

    Returns:
        Losses, log-partitions and sums of powers, float32 (N,); and the powers, (N, V) in
        `dtype`: probabilities but for their division by the sums, which their products make up
        for, so that nothing is raised to a power twice.
    """
    # Wide first: on a CPU, exponentials of bfloat16 take many times as long.
    logits = logits.float()
    greatest = logits.amax(-1, keepdim=True)
    powers = (logits - greatest).exp_()
    sums = powers.sum(-1)
    at_target = logits.gather(1, chosen)
    losses = sums.log() - (at_target - greatest).squeeze(1)
    return losses, losses + at_target.squeeze(1), sums, powers.to(dtype)


Softmax = Callable[[Tensor, Tensor, torch.dtype], tuple[Tensor, Tensor, Tensor, Tensor]]


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
        rows = torch.arange(min(size, len(targets)), device=hidden.device)
        for start in range(0, hidden.shape[0], size):
            piece = slice(start, start + size)
            x, y = hidden[piece], targets[piece]
            counted = y != IGNORED
            chosen = y.clamp(min=0)[:, None]
            found = softmax(multiply(x.to(dtype), narrow), chosen, dtype)
            losses, partition, sums, powers = found
            nll += (losses * counted).sum(dtype=wide)
            # The derivative by the logits is (1 + 2 z logsumexp) powers / sum, less 1 at the
            # target: numbers of each row times what is written to `powers`. Of a probability near
            # 1, bfloat16 would lose what is missing to it.
            worth, at_target = counted / sums, torch.expm1(-losses)
            if z_weight:
                squares += (partition.square() * counted).sum(dtype=wide)
                factor = 1 + 2 * z_weight * partition
                worth, at_target = worth * factor, at_target + (1 - 1 / factor)
            # By indices: on a CPU, scatter_ copies the whole of a bfloat16 tensor twice.
            powers[rows[: len(y)], chosen[:, 0]] = (at_target * sums).to(dtype)
            worth = worth[:, None]
            by_hidden[piece] = multiply(powers, narrow.t()) * worth
            by_weight += powers.t() @ (x * worth).to(dtype)
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
