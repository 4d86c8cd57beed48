"""The chunked loss against F.cross_entropy and autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from llm.training import devices, loss
from llm.training.loss import IGNORED, summed_loss, token_losses

torch.set_num_threads(1)


def _drawn(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(37, 12, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(50, 12, generator=generator).requires_grad_()
    targets = torch.randint(50, (37,), generator=generator)
    targets[::5] = IGNORED
    return hidden, weight, targets


@pytest.mark.parametrize("chunk", [8, 37, 4096])
@pytest.mark.parametrize("z_weight", [0.0, 0.02])
def test_value_and_gradients(monkeypatch: pytest.MonkeyPatch, chunk: int, z_weight: float) -> None:
    monkeypatch.setattr(loss, "_chunk", lambda weight: chunk)
    hidden, weight, targets = _drawn()
    total, nll = summed_loss(hidden, weight, targets, z_weight, torch.float32)
    (total / 3).backward()
    by_hidden, by_weight = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    logits = F.linear(hidden, weight)
    expected = F.cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORED)
    assert torch.allclose(nll, expected, rtol=1e-6)
    counted = targets != IGNORED
    expected = expected + z_weight * logits.logsumexp(-1)[counted].square().sum()
    assert torch.allclose(total, expected, rtol=1e-6)
    (expected / 3).backward()
    assert by_hidden is not None
    assert by_weight is not None
    assert torch.allclose(by_hidden, hidden.grad, atol=1e-5)
    assert torch.allclose(by_weight, weight.grad, atol=1e-5)
    assert not by_hidden[::5].any()


def test_bfloat16_is_close() -> None:
    hidden, weight, targets = _drawn()
    wide, _ = summed_loss(hidden, weight, targets, 0.0, torch.float32)
    narrow, _ = summed_loss(hidden, weight, targets, 0.0, torch.bfloat16)
    assert narrow.item() == pytest.approx(wide.item(), rel=0.01)
    assert narrow.item() != wide.item()


def test_each_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "_chunk", lambda weight: 10)
    hidden, weight, targets = _drawn()
    each = token_losses(hidden, weight, targets)
    logits = F.linear(hidden, weight)
    expected = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED)
    assert torch.allclose(each, expected, atol=1e-6)
    assert not each[::5].any()


def test_sums_are_as_wide_as_the_device_has_numbers() -> None:
    wide = {name: devices.widest(torch.device(name)) for name in ("cpu", "cuda", "mps")}
    assert wide == {"cpu": torch.float64, "cuda": torch.float64, "mps": torch.float32}


def test_a_chunk_of_logits_is_bounded() -> None:
    for vocabulary in (1024, 50_000, 10**9):
        weight = torch.empty(vocabulary, 1, device="meta")
        size = loss._chunk(weight)
        assert size == 1 or size * vocabulary * 4 <= 1 << 29
        assert size >= 1
