"""One optimiser step: the same however it is cut, and nothing where it fails."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from llm.model.parametrisation import treatments
from llm.model.parametrisation_choice import Parametrisation
from llm.model.transformer import Transformer
from llm.training import optimisers
from llm.training.devices import DoesNotFitError
from llm.training.loss import IGNORED
from llm.training.muon import Muon
from llm.training.optimisers import UnknownOptimiserError
from llm.training.run_file import Optimiser
from llm.training.step import read_rows
from tests.llm.training.small_run import CPU, LENGTH, OPTIMISATION, fresh, opened, stepper

ROWS = np.array([4, 1, 7, 30, 2, 9])


def _stepped(folder: Path, micro_batch_rows: int) -> tuple[Transformer, torch.Tensor]:
    """The model after two steps, and the second one's clipped gradient."""
    model = fresh()
    # AdamW divides by the gradient's size: a low rate keeps its rounding below the tolerance.
    settings = {"batch_rows": len(ROWS), "learning_rate": 1e-3}
    step = stepper(model, opened(folder), micro_batch_rows, **settings)
    held: list[torch.Tensor] = []
    for optimiser in step.optimisers:
        optimiser.register_step_pre_hook(lambda *_: held.append(_gradient(model)))
    for number in range(2):
        step(number, ROWS)
    return model, held[-1]


def _gradient(model: Transformer) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _far(one: Transformer, other: Transformer) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_rows_are_inputs_and_the_tokens_after_them(tmp_path: Path) -> None:
    tokens = opened(tmp_path)
    last = len(tokens.train) - 1
    length = int(tokens.lengths["train"][last])
    assert length < LENGTH, "the last row is meant to be padded"
    batch = read_rows(tokens, "train", np.array([0, last]), "none", CPU)
    assert batch.mask is None
    stored = torch.tensor(tokens.train[[0, last]].astype(np.int64))
    assert torch.equal(batch.inputs, stored[:, :-1])
    assert torch.equal(batch.targets[0], stored[0, 1:])
    assert torch.equal(batch.targets[1, : length - 1], stored[1, 1:length])
    assert (batch.targets[1, length - 1 :] == IGNORED).all()


def test_document_mask_of_a_padded_row(tmp_path: Path) -> None:
    tokens = opened(tmp_path)
    last = len(tokens.train) - 1
    batch = read_rows(tokens, "train", np.array([last]), "dense", CPU)
    assert batch.mask is not None
    assert batch.mask.shape == (1, 1, LENGTH, LENGTH)
    segment = tokens.segment_ids("train", [last])[0][1:]  # of the tokens predicted
    for q in range(LENGTH):
        sees = [k for k in range(LENGTH) if k <= q and segment[k] == segment[q]]
        assert batch.mask[0, 0, q].nonzero().flatten().tolist() == sees
    # A position that saw nothing would make its attention, and then all weights, NaN.
    assert batch.mask.any(-1).all()
    model = fresh()
    step = stepper(model, tokens, batch_rows=2, document_mask=True)
    figures = step(0, np.array([0, last])).read()
    assert math.isfinite(figures.loss)
    assert all(p.isfinite().all() for p in model.parameters())


def test_loss_gradient_and_count(tmp_path: Path) -> None:
    tokens = opened(tmp_path)
    rows = np.array([3, len(tokens.train) - 1])
    model, reference = fresh(), fresh()
    figures = stepper(model, tokens, batch_rows=2, clip=0.0)(0, rows).read()
    batch = read_rows(tokens, "train", rows, "none", CPU)
    logits = reference(batch.inputs).flatten(0, 1)
    loss = F.cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORED)
    loss.backward()
    assert figures.tokens == (batch.targets != IGNORED).sum()
    assert figures.loss == pytest.approx(loss.item(), rel=1e-5)
    assert figures.gradient_norm == pytest.approx(_gradient(reference).norm().item(), rel=1e-4)
    assert figures.learning_rate == pytest.approx(OPTIMISATION.learning_rate / 2)


@pytest.mark.parametrize("micro_batch_rows", [1, 4])
def test_micro_batches_change_nothing(tmp_path: Path, micro_batch_rows: int) -> None:
    (one, gradient), (other, in_pieces) = (
        _stepped(tmp_path, size) for size in (0, micro_batch_rows)
    )
    assert (gradient - in_pieces).norm() < 1e-6 * gradient.norm()
    assert _far(one, other) < 1e-6 < _far(one, fresh())


def test_out_of_memory_halves_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, _ = _stepped(tmp_path, 0)
    whole, seen = Transformer.hidden, []

    def hidden(self: Transformer, tokens: torch.Tensor, *others: object) -> torch.Tensor:
        seen.append(len(tokens))
        if len(seen) == 4:  # in the middle of the second attempt, with gradients half done
            raise torch.OutOfMemoryError("CUDA out of memory")
        if len(tokens) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return whole(self, tokens, *others)

    monkeypatch.setattr(Transformer, "hidden", hidden)
    model = fresh()
    step = stepper(model, opened(tmp_path), 0, batch_rows=6, learning_rate=1e-3)
    step(0, ROWS)
    assert (seen, step.micro_batch_rows) == ([6, 3, 3], 3)
    step(1, ROWS)
    assert (seen[3:], step.micro_batch_rows) == ([3, 2, 2, 2], 2)
    assert _far(undisturbed, model) < 1e-6


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),  # what a std::bad_alloc becomes on its way to Python
    pa.ArrowMemoryError("malloc of size 1 failed"),
]


@pytest.mark.parametrize("first", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_one_row_too_many_and_other_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Exception
) -> None:
    problem: list[Exception] = [first]

    def hidden(self: Transformer, *others: object) -> torch.Tensor:
        raise problem[0]

    monkeypatch.setattr(Transformer, "hidden", hidden)
    step = stepper(fresh(), opened(tmp_path), 0, batch_rows=6)
    with pytest.raises(DoesNotFitError, match="smaller model"):
        step(0, ROWS)
    assert step.micro_batch_rows == 1
    problem[0] = RuntimeError("shapes do not match")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        step(0, ROWS)


def test_clipping(tmp_path: Path) -> None:
    model = fresh()
    tokens = opened(tmp_path)
    norm = stepper(fresh(), tokens, batch_rows=6, clip=0.0)(0, ROWS).read().gradient_norm
    step = stepper(model, tokens, batch_rows=6, clip=norm / 4)
    held: list[float] = []
    for optimiser in step.optimisers:

        def look(_: object, *others: object) -> None:
            held.append(float(_gradient(model).norm()))

        optimiser.register_step_pre_hook(look)
    assert step(0, ROWS).read().gradient_norm == pytest.approx(norm)
    assert held == pytest.approx([norm / 4], rel=1e-4)


def test_a_row_of_one_token_teaches_nothing(tmp_path: Path) -> None:
    tokens = opened(tmp_path)
    tokens = replace(tokens, lengths={"train": np.ones_like(tokens.lengths["train"])})
    model = fresh()
    figures = stepper(model, tokens, batch_rows=1)(0, np.array([0])).read()
    assert (figures.loss, figures.gradient_norm) == (0.0, 0.0)


@pytest.mark.parametrize("optimiser", optimisers.OPTIMISERS)
def test_who_optimises_what(optimiser: str) -> None:
    model = fresh()
    made = optimisers.build(model, replace(OPTIMISATION, optimiser=optimiser))
    names = {id(p): name for name, p in model.named_parameters()}
    decay: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for one in made:
        for group in one.param_groups:
            for parameter in group["params"]:
                decay[names[id(parameter)]] = group["weight_decay"]
                kinds[names[id(parameter)]] = type(one).__name__
    assert set(decay) == set(names.values())
    matrices = {name for name in decay if "_proj." in name}
    assert len(matrices) == 7 * 2
    assert {name for name, value in decay.items() if value} == matrices
    muon = {name for name, kind in kinds.items() if kind == "Muon"}
    assert muon == (matrices if optimiser == "muon" else set())
    optimisers.set_learning_rate(made, 0.125)
    assert {group["lr"] for one in made for group in one.param_groups} == {0.125}


def test_a_group_has_its_own_share_of_the_learning_rate() -> None:
    made = optimisers.build(fresh(), replace(OPTIMISATION, optimiser="adamw"))
    made[0].param_groups[1][optimisers.SHARE] = 0.25
    optimisers.set_learning_rate(made, 0.5)
    assert [group["lr"] for group in made[0].param_groups] == [0.5, 0.125]
    optimisers.set_learning_rate(made, 1.0)
    assert [group["lr"] for group in made[0].param_groups] == [1.0, 0.25]


@pytest.mark.parametrize("optimiser", optimisers.OPTIMISERS)
def test_groups_are_made_of_treatments(optimiser: Optimiser) -> None:
    mup = Parametrisation("mup", 8, 1, 4, zero_init=False)  # four times as wide, twice as deep
    model = fresh()
    o = replace(OPTIMISATION, optimiser=optimiser, parametrisation=mup, weight_decay=0.1)
    made = optimisers.build(model, o)
    optimisers.set_learning_rate(made, 0.5)
    names = {id(p): name for name, p in model.named_parameters()}
    treated = treatments(model, mup)
    seen = []
    for one in made:
        for group in one.param_groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                seen.append(name)
                treatment = treated[name]
                muon = isinstance(one, Muon)
                share = treatment.muon_rate if muon else treatment.adamw_rate
                assert group["lr"] == 0.5 * share
                decay = group["lr"] * group["weight_decay"]
                assert decay == pytest.approx(0.05 if treatment.decays else 0.0)
                if not muon:
                    assert group["eps"] == pytest.approx(1e-8 * treatment.epsilon)
    assert sorted(seen) == sorted(treated)
    assert len({group["lr"] for one in made for group in one.param_groups}) > 2


def test_an_unknown_optimiser() -> None:
    with pytest.raises(UnknownOptimiserError, match="adamw, muon"):
        optimisers.build(fresh(), replace(OPTIMISATION, optimiser="lion"))
