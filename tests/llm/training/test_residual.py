"""The residual stream is narrow where training on a GPU is; nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llm.training.residual import narrow_residual
from tests.llm.training.small_run import fresh

TOKENS = torch.arange(24).view(2, 12)


def _block_inputs(device: str, precision: str, autocast: bool) -> tuple[set[torch.dtype], Tensor]:
    """Types of what blocks are given, and the hidden states; computed on the CPU."""
    model = fresh()
    narrow_residual(model, torch.device(device), precision)
    seen: set[torch.dtype] = set()
    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda _module, given: seen.add(given[0].dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        return seen, model.hidden(TOKENS)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "bf16"), ("cuda", "fp32")])
def test_wide_elsewhere(device: str, precision: str) -> None:
    assert _block_inputs(device, precision, True)[0] == {torch.float32}


def test_narrow_in_bf16_training_alone() -> None:
    assert _block_inputs("cuda", "bf16", False)[0] == {torch.float32}
    kinds, narrow = _block_inputs("cuda", "bf16", True)
    assert kinds == {torch.bfloat16}
    _, wide = _block_inputs("cpu", "bf16", True)
    assert narrow.dtype == torch.float32
    assert float((narrow - wide).norm() / wide.norm()) < 2e-2  # some roundings of 4e-3
