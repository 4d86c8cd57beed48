"""Products of a few rows and a matrix on a CPU: what generation spends its time on.

Such a product reads the whole matrix for little arithmetic. Libraries made for large products read
it at a quarter of the memory's speed; a plain loop that a C compiler turns into vectors reads it at
full speed, and meets narrow weights as they are. Where there is no compiler, PyTorch multiplies.
"""

from __future__ import annotations

import ctypes
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from llm.model.machine_code import Matrix, library

Weights = Literal["plain", "bf16", "int8"]

# For more rows the arithmetic counts, and PyTorch's products are the faster ones.
_FEW = 16
VECTOR = 16  # numbers that are summed side by side: inputs are whole multiples of it


def int8_steps(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (out, in) in 255 steps of each row's greatest weight: the steps, int8, and what one
    is worth, float32 (out,)."""
    scale = weight.float().abs().amax(-1).clamp(min=1e-12) / 127
    return (weight.float() / scale[:, None]).round().to(torch.int8).contiguous(), scale


class RowProduct:
    """A matrix (out, in) to multiply rows by: (..., in) gives (..., out), in the rows' dtype.

    Args:
        kept: "plain" as they are; "bf16" and "int8" take a half and a quarter of float32's bytes
            and change products a little.

    Attributes:
        matrix: as C reads it; none where C cannot.
    """

    def __init__(self, weight: Tensor, kept: Weights) -> None:
        self._outputs, self._inputs = weight.shape
        self._scales: Tensor | None = None
        weight = weight.detach()
        if kept == "int8":
            self._weight, self._scales = int8_steps(weight)
        else:
            self._weight = (weight.bfloat16() if kept == "bf16" else weight).contiguous()
        few = weight.device.type == "cpu" and (kept != "plain" or weight.dtype == torch.float32)
        self._compiled = library() if few and self._inputs % VECTOR == 0 else None
        self.matrix = Matrix.of(self._weight, self._scales) if self._compiled else None

    def __call__(self, x: Tensor) -> Tensor:
        count = x.numel() // self._inputs
        if self._compiled and self.matrix and count <= _FEW and x.dtype == torch.float32:
            x, out = x.contiguous(), torch.empty((*x.shape[:-1], self._outputs))
            matrix = ctypes.byref(self.matrix)
            self._compiled.few_rows(matrix, x.data_ptr(), count, out.data_ptr())
            return out
        if self._scales is not None:
            # PyTorch's kernel for int8 weights is fast for bfloat16 alone.
            rows = x.reshape(-1, self._inputs).bfloat16()
            found = torch._weight_int8pack_mm(rows, self._weight, self._scales.bfloat16())
            return found.view(*x.shape[:-1], -1).to(x.dtype)
        return F.linear(x.to(self._weight.dtype), self._weight).to(x.dtype)
