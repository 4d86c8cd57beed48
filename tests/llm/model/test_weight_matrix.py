"""Products with weights as they are and narrower: against float64."""

from __future__ import annotations

import pytest
import torch

from llm.model.weight_matrix import WeightMatrix, Weights, int8_steps


def expected(weight: torch.Tensor, kept: Weights, x: torch.Tensor) -> torch.Tensor:
    """In float64, with the weights as they are kept."""
    if kept == "bf16":
        weight = weight.bfloat16()
    if kept == "int8":
        steps, scale = int8_steps(weight)
        assert (steps.double() * scale[:, None] - weight).abs().max() <= scale.max() * 0.5001
        weight = steps * scale[:, None]
    return x.double() @ weight.double().t()


@pytest.mark.parametrize("kept", ["plain", "bf16", "int8"])
@pytest.mark.parametrize("rows", [1, 2, 40])
def test_products(kept: Weights, rows: int) -> None:
    draw = torch.Generator().manual_seed(rows)
    weight = torch.randn(96, 64, generator=draw)
    x = torch.randn(rows, 64, generator=draw)
    found, whole = WeightMatrix(weight, kept)(x), expected(weight, kept, x)
    assert found.dtype == torch.float32
    bar = 1e-5 if kept == "plain" else 0.02  # what meets narrow weights there is narrow too
    assert (found - whole).abs().max() < bar * whole.abs().max()


def test_bfloat16_stays() -> None:
    weight, rows = torch.randn(8, 32).bfloat16(), torch.randn(2, 3, 32).bfloat16()
    product = WeightMatrix(weight, "plain")
    assert torch.equal(product(rows), torch.nn.functional.linear(rows, weight))
