"""Products of a few rows: against PyTorch, alone and among others, with and without a compiler."""

from __future__ import annotations

import shutil

import pytest
import torch

from llm.model import machine_code, row_products
from llm.model.row_products import RowProduct, Weights

SIZES = [(7, 32), (64, 64), (130, 96), (1, 256), (5, 704)]


def matrix(outputs: int, inputs: int) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(outputs + inputs))


def expected(weight: torch.Tensor, kept: Weights, x: torch.Tensor) -> torch.Tensor:
    """In float64, with the weights as they are kept."""
    if kept == "bf16":
        weight = weight.bfloat16()
    if kept == "int8":
        steps, scale = row_products.int8_steps(weight)
        assert (steps.double() * scale[:, None] - weight).abs().max() <= scale.max() * 0.5001
        weight = steps * scale[:, None]
    return x.double() @ weight.double().t()


@pytest.mark.skipif(shutil.which("cc") is None, reason="this machine has no C compiler")
@pytest.mark.parametrize(("outputs", "inputs"), SIZES)
@pytest.mark.parametrize("kept", ["plain", "bf16", "int8"])
def test_a_row_gets_the_same_among_any_others(outputs: int, inputs: int, kept: Weights) -> None:
    weight = matrix(outputs, inputs)
    product = RowProduct(weight, kept)
    assert product.matrix is not None
    rows = torch.randn(16, inputs, generator=torch.Generator().manual_seed(3))
    for count in (1, 2, 3, 4, 5, 8, 11, 16):
        found = product(rows[:count])
        assert found.shape == (count, outputs)
        assert found.dtype == torch.float32
        whole = expected(weight, kept, rows[:count])
        assert (found - whole).abs().max() < 1e-5 * max(1.0, float(whole.abs().max()))
        assert torch.equal(found, torch.cat([product(row[None]) for row in rows[:count]]))
    # As many dimensions as come, and rows that do not lie together.
    assert torch.equal(product(rows.view(4, 4, -1)), product(rows).view(4, 4, -1))
    assert torch.equal(product(rows[::2]), product(rows)[::2])


@pytest.mark.parametrize("kept", ["plain", "bf16", "int8"])
@pytest.mark.parametrize("way", ["no compiler", "a compiler that fails", "many rows"])
def test_where_pytorch_multiplies(kept: Weights, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_code.library.cache_clear()
    if way != "many rows":
        monkeypatch.setenv("CC", "no-such-compiler" if way == "no compiler" else "false")
    weight = matrix(96, 64)
    product = RowProduct(weight, kept)
    assert (product.matrix is None) or way == "many rows"
    rows = torch.randn(40 if way == "many rows" else 2, 64)
    whole = expected(weight, kept, rows)
    bar = 1e-5 if kept == "plain" else 0.02  # what meets narrow weights there is narrow too
    assert (product(rows) - whole).abs().max() < bar * whole.abs().max()
    machine_code.library.cache_clear()


def test_other_numbers_are_pytorch_s_business() -> None:
    weight, rows = matrix(8, 32).bfloat16(), torch.randn(2, 32).bfloat16()
    product = RowProduct(weight, "plain")
    assert torch.equal(product(rows), torch.nn.functional.linear(rows, weight))
    odd, rows = matrix(8, 33), torch.randn(2, 33)
    assert torch.equal(RowProduct(odd, "plain")(rows), torch.nn.functional.linear(rows, odd))
