"""Attention in blocks against PyTorch's own, and its gradients against autograd's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from llm.model.causal_blocks import SHORT, ahead, attend_in_blocks

torch.set_num_threads(1)


def _drawn(length: int, heads: int, key_heads: int, dtype: torch.dtype) -> list[Tensor]:
    """Queries, keys and values in the layout of a model's, and a gradient."""
    generator = torch.Generator().manual_seed(length)
    counts = (heads, key_heads, key_heads, heads)
    drawn = [torch.randn(2, length, count, 16, generator=generator) for count in counts]
    return [each.to(dtype).transpose(1, 2).requires_grad_() for each in drawn]


def _both(drawn: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Output and gradients: ours, and those of PyTorch in float64."""
    *inputs, by_out = drawn
    ours = attend_in_blocks(*inputs, ahead())
    wide = [each.detach().double().requires_grad_() for each in inputs]
    reference = F.scaled_dot_product_attention(*wide, is_causal=True, enable_gqa=True)
    return (
        [ours, *torch.autograd.grad(ours, inputs, by_out)],
        [reference, *torch.autograd.grad(reference, wide, by_out.double())],
    )


@pytest.mark.parametrize("length", [1, 100, 128, 300, SHORT])
def test_output_and_gradients(length: int) -> None:
    for ours, reference in zip(*_both(_drawn(length, 4, 2, torch.float32)), strict=True):
        assert ours.shape == reference.shape
        assert (ours - reference).abs().max() < 1e-5


@pytest.mark.parametrize("key_heads", [1, 4])
def test_any_number_of_queries_shares_a_key(key_heads: int) -> None:
    for ours, reference in zip(*_both(_drawn(150, 4, key_heads, torch.float32)), strict=True):
        assert (ours - reference).abs().max() < 1e-5


def test_bfloat16_is_as_exact_as_its_numbers() -> None:
    for ours, reference in zip(*_both(_drawn(300, 4, 2, torch.bfloat16)), strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours - reference).norm() < 0.01 * reference.norm()


def test_no_score_is_too_large() -> None:
    queries, keys, values, by_out = _drawn(140, 2, 2, torch.float32)
    drawn = [(queries * 1e4).detach().requires_grad_(), keys, values, by_out]
    ours, reference = _both(drawn)
    assert torch.allclose(ours[0].double(), reference[0], atol=1e-3)
    assert all(each.isfinite().all() for each in ours)


def test_nothing_looks_ahead() -> None:
    queries, keys, values, _ = _drawn(200, 2, 2, torch.float32)
    early = attend_in_blocks(queries, keys, values, ahead())[:, :, :70].sum()
    for gradient in torch.autograd.grad(early, (keys, values)):
        assert gradient[:, :, :70].abs().amin(-1).gt(0).any()
        assert not gradient[:, :, 70:].any()
