"""Matrices to multiply rows by, as they are or narrower."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Literal["plain", "bf16", "int8"]


def int8_steps(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (out, in) in 255 steps of each row's greatest weight: the steps, int8, and what one
    is worth, float32 (out,)."""
    scale = weight.float().abs().amax(-1).clamp(min=1e-12) / 127
    return (weight.float() / scale[:, None]).round().to(torch.int8).contiguous(), scale


class WeightMatrix:
    """A matrix (out, in) to multiply rows by: (..., in) gives (..., out), in the rows' dtype.

    Args:
        kept: "plain" as they are; "bf16" and "int8" take a half and a quarter of float32's bytes
            and change products a little.
    """

    def __init__(self, weight: Tensor, kept: Weights) -> None:
        self._scales: Tensor | None = None
        weight = weight.detach()
        if kept == "int8":
            self._weight, self._scales = int8_steps(weight)
        else:
            self._weight = (weight.bfloat16() if kept == "bf16" else weight).contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        if self._scales is not None:
            # PyTorch's kernel for int8 weights is fast for bfloat16 alone.
            rows = x.reshape(-1, x.shape[-1]).bfloat16()
            found = torch._weight_int8pack_mm(rows, self._weight, self._scales.bfloat16())
            return found.view(*x.shape[:-1], -1).to(x.dtype)
        return F.linear(x.to(self._weight.dtype), self._weight).to(x.dtype)
