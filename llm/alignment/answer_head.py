"""Log-probabilities of answers' tokens, and what is shown of them, without a row of logits a token
that nobody scores.

TRL computes them in tiles and twice, at first forward and again for the gradient, and without
Triton of every position, those of prompts and padding too. On a CPU that is most of a small
model's step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Numbers a token and an entry of the vocabulary that are kept for the gradient, 128 MB of bfloat16:
# beyond that they are computed once more. A piece, 8 MB of float32, is what a CPU's caches hold.
_KEPT, _PIECE = 1 << 26, 1 << 21


class Answers(NamedTuple):
    """Of N tokens, float32 (N,) but for the last, which is bool; only the first has a gradient.

    Attributes:
        log_probs: in nats.
        entropy: of the distribution the token is from, in nats.
        mean_logits: over the vocabulary.
        is_top1: no token is more likely.
    """

    log_probs: Tensor
    entropy: Tensor
    mean_logits: Tensor
    is_top1: Tensor


class _AnswerHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        narrow = weight.to(dtype)
        keep = hidden.shape[0] * weight.shape[0] <= _KEPT
        found: list[tuple[Tensor, ...]] = []
        kept: list[Tensor] = []
        for piece in _pieces(hidden, weight):
            logits = F.linear(hidden[piece].to(dtype), narrow).float()
            chosen = targets[piece, None]
            highest, best = logits.max(-1)
            shares, partition = _shares(logits, highest)
            log_probs = logits.gather(1, chosen)[:, 0] - partition
            mean_logits = logits.mean(-1)
            entropy = partition - logits.mul_(shares).sum(-1)
            found.append((log_probs, entropy, mean_logits, best == chosen[:, 0]))
            if keep:
                kept.append(_slope(shares, chosen).to(dtype))
        ctx.save_for_backward(hidden, weight, targets, *kept)
        ctx.dtype = dtype
        columns = tuple(torch.cat(column) for column in zip(*found, strict=True))
        ctx.mark_non_differentiable(*columns[1:])
        return columns

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden, weight, targets, *kept = ctx.saved_tensors
        narrow = weight.to(ctx.dtype)
        by_hidden = torch.empty_like(hidden)
        by_weight = torch.zeros_like(weight, dtype=torch.float32)
        for number, piece in enumerate(_pieces(hidden, weight)):
            x, gradient = hidden[piece], gradients[0][piece, None]
            if kept:
                slope = kept[number]
            else:
                logits = F.linear(x.to(ctx.dtype), narrow).float()
                shares, _ = _shares(logits, logits.amax(-1))
                slope = _slope(shares, targets[piece, None]).to(ctx.dtype)
            by_hidden[piece] = gradient * (slope @ narrow)
            by_weight += slope.t() @ (gradient * x).to(ctx.dtype)
        return by_hidden, by_weight.to(weight.dtype), None, None


def _pieces(hidden: Tensor, weight: Tensor) -> list[slice]:
    size = max(1, _PIECE // weight.shape[0])
    return [slice(start, start + size) for start in range(0, max(1, hidden.shape[0]), size)]


def _shares(logits: Tensor, highest: Tensor) -> tuple[Tensor, Tensor]:
    """The softmax (N, V), and the logarithm of its denominator (N,)."""
    shares = (logits - highest[:, None]).exp_()
    total = shares.sum(-1)
    shares /= total[:, None]
    return shares, highest + total.log()


def _slope(shares: Tensor, chosen: Tensor) -> Tensor:
    """d log p(chosen) / d logits (N, V), made of the shares in place."""
    return shares.neg_().scatter_add_(1, chosen, shares.new_ones(chosen.shape))


def answer_statistics(
    hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype
) -> Answers:
    """What a model says of tokens.

    Args:
        hidden: (N, D) final hidden states before each token.
        weight: (V, D) of the output matrix.
        targets: int64 (N,), the tokens.
        dtype: matrices are multiplied in; the softmax is in float32.
    """
    return Answers(*_AnswerHead.apply(hidden, weight, targets, dtype))  # type: ignore[no-untyped-call]
