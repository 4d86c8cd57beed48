"""The head of tuning against plain autograd, and the shell against TRL's own forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from llm.alignment import answer_head
from llm.alignment.answer_head import answer_statistics
from llm.alignment.transformers_model import compute_with, transformers_model
from llm.model.folder import load
from tests.llm.alignment.tiny_run import model_folder

OUTPUTS = ("log_probs", "entropy", "mean_logits", "is_top1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("given"))


@pytest.mark.parametrize(("kept", "piece"), [(1 << 26, 1 << 24), (1 << 26, 700), (0, 700)])
def test_statistics_and_gradients_are_those_of_a_softmax(
    monkeypatch: pytest.MonkeyPatch, kept: int, piece: int
) -> None:
    monkeypatch.setattr(answer_head, "_KEPT", kept)
    monkeypatch.setattr(answer_head, "_PIECE", piece)  # 700: seven rows a piece of the 23
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 16, generator=random, requires_grad=True)
    weight = torch.randn(100, 16, generator=random, requires_grad=True)
    targets = torch.randint(0, 100, (23,), generator=random)
    scale = torch.randn(23, generator=random)
    found = answer_statistics(hidden, weight, targets, torch.float32)
    (found.log_probs * scale).sum().backward()
    ours = [hidden.grad, weight.grad]
    hidden.grad = weight.grad = None
    logits = hidden @ weight.T
    by_token = logits.log_softmax(-1)
    log_probs = by_token.gather(1, targets[:, None])[:, 0]
    (log_probs * scale).sum().backward()
    torch.testing.assert_close(found.log_probs, log_probs)
    torch.testing.assert_close(found.entropy, -(by_token.exp() * by_token).sum(-1))
    torch.testing.assert_close(found.mean_logits, logits.mean(-1))
    assert torch.equal(found.is_top1, logits.argmax(-1) == targets)
    torch.testing.assert_close(ours, [hidden.grad, weight.grad], rtol=1e-4, atol=1e-5)


def test_no_answer_at_all_has_a_gradient_of_zero() -> None:
    hidden = torch.ones(0, 16, requires_grad=True)
    weight = torch.ones(100, 16, requires_grad=True)
    targets = torch.zeros(0, dtype=torch.int64)
    answer_statistics(hidden, weight, targets, torch.float32).log_probs.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


def batch() -> dict[str, torch.Tensor]:
    """Two rows of unequal length, the prompt of each without labels."""
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 0, 0]])
    labels = torch.tensor([[-100, -100, 7, 8, 9, 10], [-100, 12, -100, 14, -100, -100]])
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": labels}


def test_the_shell_computes_what_trl_asks_transformers_for(folder: Path) -> None:
    ours, theirs = load(folder), load(folder)
    held, reference = transformers_model(ours, folder), transformers_model(theirs, folder)
    add_fused_lm_head(reference, outputs=OUTPUTS)
    compute_with(ours, held, 1.0)
    found, wanted = (model(**batch(), fused_lm_head=True) for model in (held, reference))
    for name in ("loss", "label_mask", *OUTPUTS):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name))
    for result in (found, wanted):
        (result.log_probs * torch.arange(10.0).reshape(2, 5)).sum().backward()
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(held.get_parameter(name).grad, parameter.grad)


def test_a_shell_trains_the_model_within(folder: Path) -> None:
    model = load(folder)
    held = transformers_model(model, folder)
    assert held.num_parameters() == sum(value.numel() for value in model.parameters())
    with torch.no_grad():
        for parameter in held.parameters():
            parameter.add_(1.0)
    before = load(folder).state_dict()
    assert all(torch.equal(v, before[n] + 1.0) for n, v in model.state_dict().items())
