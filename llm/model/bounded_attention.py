"""Causal attention within documents, by a kernel for bfloat16 on a GPU that never looks past them.

Imported where it is needed alone: PyTorch's module brings SymPy, two seconds of a start.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

# PyTorch 2.11 takes grouped keys as they are, later ones ask to be told.
_GROUPED: dict[str, Any] = (
    {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}
)


def attend_within(queries: Tensor, keys: Tensor, values: Tensor, bounds: Tensor) -> Tensor:
    """(B, H, T, d): attention of (B, H, T, d) on (B, K, T, d) that crosses no bound.

    Args:
        bounds: int32 (N + 1,), where documents begin in the rows laid end to end, and the end.
    """
    batch, heads, length, size = queries.shape
    rows = batch * length
    q, k, v = (x.transpose(1, 2).reshape(rows, -1, size) for x in (queries, keys, values))
    out = varlen_attn(q, k, v, bounds, bounds, length, length, window_size=(-1, 0), **_GROUPED)
    return cast("Tensor", out).view(batch, length, heads, size).transpose(1, 2)
