"""Products of many rows and a matrix: the kernel that is fastest on the CPU at hand.

PyTorch multiplies float32 with MKL, which is made for Intel's CPUs. On AMD's, oneDNN, which
PyTorch has too, multiplies rows by a matrix a sixth faster, and is as exact; it has one barrier
between threads where MKL has several. The sum over rows that a matrix's gradient is stays with
MKL, which is the faster one at that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MANY_ROWS = 256  # for fewer, getting to the kernel takes as long as the kernel


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:  # Linux alone has the file; elsewhere PyTorch's own choice will do
        return False


# Of the kind of CPU alone, not by a trial: a run that goes on after a stop has to do the same sums.
_ONEDNN = (
    _is_amd() and torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
)


@torch.library.custom_op("ingot::multiply_rows", mutates_args=(), device_types="cpu")
def _multiply_rows(x: Tensor, weight: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return found


@_multiply_rows.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, by_product: Tensor) -> tuple[Tensor, Tensor]:
    x, weight = ctx.saved_tensors
    rows = by_product.flatten(0, -2)
    by_x = _multiply_rows(rows, weight.t()).view(x.shape)
    return by_x, rows.t() @ x.flatten(0, -2)


_multiply_rows.register_autograd(_gradients, setup_context=_keep)


def multiply(x: Tensor, weight: Tensor) -> Tensor:
    """`F.linear`: (..., D) by (E, D) gives (..., E)."""
    ours = (
        _ONEDNN
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.shape[:-1].numel() >= _MANY_ROWS
        and not torch.is_autocast_enabled("cpu")
    )
    if not ours:
        return F.linear(x, weight)
    found: Tensor = _multiply_rows(x, weight)
    return found


class Linear(nn.Linear):
    """A matrix without a bias, by `multiply`."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        return multiply(input, self.weight)
