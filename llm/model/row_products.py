"""Products of a few rows and a matrix on a CPU: what a step of generation spends its time on.

Such a product reads the whole matrix for little arithmetic. Libraries made for large products read
it at a quarter of the memory's speed; a plain loop that a C compiler turns into vectors reads it at
full speed, and meets narrow weights as they are. Where there is no compiler, PyTorch multiplies.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Literal["plain", "bf16", "int8"]

# For more rows the arithmetic counts, and PyTorch's products are the faster ones.
_FEW = 16
_VECTOR = 32  # numbers that are summed side by side


@cache
def _kernels() -> ctypes.CDLL | None:
    """The loops, compiled for this machine; none where that is not possible. It takes a quarter of
    a second, and nothing is kept: a library that others could have put there is never loaded."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
    if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":  # narrower than the machine, as PyTorch
        flags.append("-mno-avx512f")
    source = Path(__file__).with_suffix(".c")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "row_products.so"
        command = [compiler, *flags, "-o", str(made), str(source)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        try:
            library = ctypes.CDLL(str(made))
        except OSError:  # a folder from which nothing may be run
            return None
    for function in (library.rows_f32, library.rows_bf16, library.rows_int8):
        function.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 3
        function.restype = None
    return library


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
        self._library = _kernels() if few and self._inputs % _VECTOR == 0 else None

    def __call__(self, x: Tensor) -> Tensor:
        count = x.numel() // self._inputs
        if self._library is not None and count <= _FEW and x.dtype == torch.float32:
            return self._few(self._library, x.contiguous(), count)
        if self._scales is not None:
            # PyTorch's kernel for int8 weights is fast for bfloat16 alone.
            rows = x.reshape(-1, self._inputs).bfloat16()
            found = torch._weight_int8pack_mm(rows, self._weight, self._scales.bfloat16())
            return found.view(*x.shape[:-1], -1).to(x.dtype)
        return F.linear(x.to(self._weight.dtype), self._weight).to(x.dtype)

    def _few(self, library: ctypes.CDLL, x: Tensor, count: int) -> Tensor:
        out = torch.empty((*x.shape[:-1], self._outputs))
        multiply = {
            torch.float32: library.rows_f32,
            torch.bfloat16: library.rows_bf16,
            torch.int8: library.rows_int8,
        }[self._weight.dtype]
        scales = None if self._scales is None else self._scales.data_ptr()
        sizes = (count, self._outputs, self._inputs)
        multiply(self._weight.data_ptr(), scales, x.data_ptr(), out.data_ptr(), *sizes)
        return out
