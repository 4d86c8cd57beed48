"""The residual stream of a forward pass on a GPU, in the type that matrices are multiplied in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llm.model.transformer import Transformer
from llm.training import devices


def narrow_residual(model: Transformer, device: torch.device, precision: str) -> None:
    """Let what the blocks add to be bfloat16 in bf16 training on CUDA, by a hook on the embedding.

    Autocast leaves the embedding's output in float32, and with it every sum of a block; on an
    H200 that costs 2.5 % of a step at 1 B parameters and 3.5 % at 124 M. What is learned is the
    same: after 260 steps with Muon validation losses of 3.237 and 3.255 (two seeds) became 3.241
    and 3.254. Norms are computed in float32 either way.
    """
    if device.type != "cuda" or devices.dtype(precision) == torch.float32:
        return
    narrow = devices.dtype(precision)

    def cast(_module: nn.Module, _arguments: Any, embedded: Tensor) -> Tensor:
        return embedded.to(narrow) if torch.is_autocast_enabled(embedded.device.type) else embedded

    model.model.embed_tokens.register_forward_hook(cast)
