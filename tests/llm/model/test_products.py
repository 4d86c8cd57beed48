"""The CPU's other kernel for products: as exact as PyTorch's own, and used where it is meant to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from llm.model import products

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this PyTorch has no oneDNN",
)


@pytest.fixture(autouse=True)
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what the kernel was given, on a CPU of any make."""
    seen: list[tuple[int, ...]] = []
    real = products._multiply_rows

    def spy(x: Tensor, weight: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        found: Tensor = real(x, weight)
        return found

    monkeypatch.setattr(products, "_ONEDNN", True)
    monkeypatch.setattr(products, "_multiply_rows", spy)
    return seen


def _draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]))


def test_values_and_gradients_are_as_exact_as_those_of_linear(used: list[tuple[int, ...]]) -> None:
    x, weight, by_product = _draw(3, 171, 96), _draw(80, 96), _draw(3, 171, 80)
    found = [t.clone().requires_grad_() for t in (x, weight)]
    products.multiply(*found).backward(by_product)  # type: ignore[no-untyped-call]
    exact = [t.double().requires_grad_() for t in (x, weight)]
    F.linear(*exact).backward(by_product.double())  # type: ignore[no-untyped-call]
    assert used[0] == (3, 171, 96)
    torch.testing.assert_close(
        products.multiply(x, weight).double(), F.linear(x.double(), weight.double()),
        atol=1e-4, rtol=1e-5,
    )  # fmt: skip
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-4, rtol=1e-5)


def test_shapes_and_derivative_hold_for_the_compiler() -> None:
    x, weight = _draw(4, 5, 6).requires_grad_(), _draw(7, 6).requires_grad_()
    torch.library.opcheck(torch.ops.ingot.multiply_rows.default, (x, weight))


@pytest.mark.parametrize(
    ("rows", "kind", "autocast"),
    [(8, torch.float32, False), (512, torch.bfloat16, False), (512, torch.float32, True)],
)
def test_few_rows_and_bfloat16_stay_with_pytorch(
    used: list[tuple[int, ...]], rows: int, kind: torch.dtype, autocast: bool
) -> None:
    x, weight = _draw(rows, 32).to(kind), _draw(16, 32).to(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        assert torch.equal(products.multiply(x, weight), F.linear(x, weight))
    assert not used


def test_a_transposed_matrix_is_read_as_one(used: list[tuple[int, ...]]) -> None:
    x, weight = _draw(300, 48), _draw(48, 40)
    torch.testing.assert_close(products.multiply(x, weight.t()), x @ weight, atol=1e-4, rtol=1e-5)
    assert used == [(300, 48)]
