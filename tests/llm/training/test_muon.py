"""Muon: equal to PyTorch's in bfloat16, and to the polynomial it stands for in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from llm.training.muon import Muon, orthogonalise

SHAPES = [(24, 64), (64, 24), (32, 32), (64, 24), (24, 64), (32, 32)]


def _matrices(shapes: list[tuple[int, int]], seed: int) -> list[torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=drawn) for shape in shapes]


@pytest.mark.parametrize("shape", sorted(set(SHAPES)))
def test_float32_is_the_polynomial_of_the_singular_values(shape: tuple[int, int]) -> None:
    matrices = torch.stack(_matrices([shape] * 3, 5))
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / values.norm(dim=1, keepdim=True)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = left @ torch.diag_embed(values) @ right
    found = orthogonalise(matrices, torch.float32)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_in_bfloat16_it_is_pytorch_s() -> None:
    ours, theirs = ([nn.Parameter(m) for m in _matrices(SHAPES, 1)] for _ in range(2))
    settings = {"lr": 0.02, "weight_decay": 0.1}
    one = Muon(ours, dtype=torch.bfloat16, **settings)
    other = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)
    start = torch.cat([p.detach().flatten() for p in ours])
    for step in range(3):
        gradients = _matrices(SHAPES, 10 + step)
        for mine, its, gradient in zip(ours, theirs, gradients, strict=True):
            mine.grad, its.grad = gradient.clone(), gradient.clone()
        one.step()
        other.step()
    found, expected = (torch.cat([p.detach().flatten() for p in ps]) for ps in (ours, theirs))
    # A batch of products may be summed in another order than one: a hundredth of what bfloat16's
    # own rounding takes from the updates (1 %).
    assert (found - expected).norm() < 1e-4 * (expected - start).norm()


def test_what_has_no_gradient_stays_and_groups_keep_their_decay() -> None:
    decayed, kept, idle = (nn.Parameter(m) for m in _matrices([(8, 8)] * 3, 2))
    before = idle.detach().clone()
    groups = [
        {"params": [decayed], "weight_decay": 0.5},
        {"params": [kept, idle], "weight_decay": 0.0},
    ]
    optimiser = Muon(groups, lr=0.1, weight_decay=0.1, dtype=torch.float32)
    start = [p.detach().clone() for p in (decayed, kept)]
    gradient = torch.eye(8)
    decayed.grad, kept.grad = gradient.clone(), gradient.clone()
    optimiser.step()
    moved = [p.detach() - s for p, s in zip((decayed, kept), start, strict=True)]
    assert torch.equal(idle, before)
    assert torch.allclose(moved[0] - moved[1], -0.05 * start[0], atol=1e-6)


def test_a_zero_gradient_is_no_division_by_zero() -> None:
    parameter = nn.Parameter(torch.ones(4, 6))
    parameter.grad = torch.zeros(4, 6)
    Muon([parameter], lr=0.1, weight_decay=0.0, dtype=torch.float32).step()
    assert torch.equal(parameter.detach(), torch.ones(4, 6))
