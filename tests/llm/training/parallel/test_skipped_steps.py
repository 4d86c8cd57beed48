"""A gradient that goes wrong in one of two processes: both leave the step out, and go back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.tensor import DTensor

from llm.training import optimisers
from llm.training.distributed import group
from llm.training.fsdp import Fsdp
from llm.training.run_file import Run
from llm.training.step import Stepper
from tests.llm.training.parallel.test_several_processes import (
    TOLERANCE,
    case,
    done,
    far,
    several,
    together,
)
from tests.llm.training.small_run import (
    CPU,
    OPTIMISATION,
    fresh,
    metrics,
    never,
    opened,
    run_of,
    trained,
)
from tests.llm.training.spoiled import spoil


def _often(run: Run) -> Run:
    return replace(run, execution=replace(run.execution, checkpoint_seconds=0.0))


@pytest.mark.long
def test_all_processes_leave_out_the_same_steps(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 40, "validate_every": 20, "learning_rate": 1e-3}
    one = _often(run_of(tmp_path / "one", **settings))
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda step, share: step in (4, 9) or (12 < step < 30 and share == 1))
        expected = trained(one)
    before = [event["event"] for event in expected["events"][:9]]
    assert before == ["skipped"] * 8 + ["rolled back"]
    runs = [_often(several(tmp_path / name, name, **settings)) for name in ("ddp", "fsdp")]
    done(together(2, tmp_path, [case(run, spoiled_ranks=[1]) for run in runs]))
    for run in runs:
        result = json.loads(Path(run.paths.result).read_text())
        kinds = [(event["event"], event["step"]) for event in result["events"]]
        assert kinds == [(event["event"], event["step"]) for event in expected["events"]]
        assert (result["rollbacks"], result["processes"]) == (1, 2)
        assert set(metrics(run)["loss"]) == set(metrics(one)["loss"])
        assert far(run, one)["loss"] < TOLERANCE["adamw"]


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_shares_of_a_model_are_left_as_they_are_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    """As on a GPU, where each optimiser looks for itself."""
    o = replace(OPTIMISATION, optimiser=optimiser)
    rows = np.arange(8)
    with group(CPU, 60.0, grouped=True) as processes, monkeypatch.context() as patch:
        strategy = Fsdp(CPU, processes, 1, "fp32")
        model = strategy.wrap(fresh())
        step = Stepper(model, o, opened(tmp_path), CPU, strategy, 0, never())
        for made in step.optimisers:
            if isinstance(made, torch.optim.AdamW):
                for held in made.param_groups:
                    held["fused"] = True
        patch.setattr(optimisers, "take_step", optimisers.take_step_on_device)
        spoil(patch, lambda number, _: number == 3)
        states = []
        for number in range(4):
            assert step(number, rows).read().skipped == (number == 2)
            states.append(_states(step))
    for before, after in zip(states[1], states[2], strict=True):
        assert torch.equal(before, after)
    assert not all(map(torch.equal, states[2], states[3]))


def _states(step: Stepper) -> list[torch.Tensor]:
    found = list(step.model.parameters())
    for made in step.optimisers:
        found += [value for held in made.state.values() for _, value in sorted(held.items())]
    return [
        (value.full_tensor() if isinstance(value, DTensor) else value).detach().clone()
        for value in found
    ]
