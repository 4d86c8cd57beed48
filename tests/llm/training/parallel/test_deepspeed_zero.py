"""ZeRO-2 and ZeRO-3 by DeepSpeed: two processes on CPUs do what one does."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm.model.parametrisation_choice import STANDARD
from llm.training.deepspeed_zero import DeepSpeedMissingError, Zero, ZeroNotPossibleError
from llm.training.distributed import Processes
from llm.training.run_file import Run
from tests.llm.training.parallel.test_several_processes import (
    TOLERANCE,
    case,
    done,
    far,
    several,
    together,
)
from tests.llm.training.small_run import CPU, metrics, run_of, trained

STAGES = ("zero2", "zero3")
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None,
    reason="DeepSpeed is not installed (the extra `deepspeed`)",
)


def _loss_difference(run: Run, reference: Run) -> float:
    """The largest relative one of all steps; where pieces changed is another figure."""
    ours, theirs = metrics(run)["loss"], metrics(reference)["loss"]
    assert ours.keys() == theirs.keys()
    return max(abs(ours[step] - theirs[step]) / abs(theirs[step]) for step in theirs)


def _in_pieces(run: Run, rows: int) -> Run:
    return replace(run, execution=replace(run.execution, micro_batch_rows=rows))


@pytest.mark.long
@needs_deepspeed
@pytest.mark.parametrize("tied", [True, False])
def test_losses_are_those_of_one(tmp_path: Path, tied: bool) -> None:
    # 11 rows leave some process without one in the last piece.
    settings: dict[str, Any] = {"steps": 20, "batch_rows": 11}
    if not tied:  # at the other rate rounding grows to 1e-5 here, with ddp too
        settings["learning_rate"] = 3e-3
    one = run_of(tmp_path / "one", **settings)
    architecture = replace(one.architecture, tied=tied)
    one = replace(one, architecture=architecture)
    trained(one)
    runs = [
        replace(
            _in_pieces(several(tmp_path / name, name, **settings), 2), architecture=architecture
        )
        for name in STAGES
    ]
    done(together(2, tmp_path, [case(run) for run in runs]))
    for run in runs:
        differences = far(run, one)
        print(run.execution.parallel, differences)
        assert differences["loss"] < TOLERANCE["adamw"]
        assert differences["validation_loss"] < TOLERANCE["adamw"]
        result = json.loads(Path(run.paths.result).read_text())
        assert (result["parallel"], result["processes"]) == (run.execution.parallel, 2)


@pytest.mark.long
@needs_deepspeed
def test_a_checkpoint_is_gone_on_from_by_any_other_strategy(tmp_path: Path) -> None:
    """Two processes stop after step 5 of 12, others end where one alone would have; and back."""
    one = run_of(tmp_path / "one", batch_rows=11)
    trained(one)
    ways = [(a, b) for a in STAGES for b in ("auto", "fsdp", *STAGES)]
    ways += [("ddp", stage) for stage in STAGES]
    begun = {
        (before, after): several(tmp_path / f"{before} {after}", before, batch_rows=11)
        for before, after in ways
    }
    done(together(2, tmp_path, [case(run, stop_after=5) for run in begun.values()]))
    going_on = {
        key: replace(run, execution=replace(run.execution, parallel=key[1]))
        for key, run in begun.items()
    }
    done(together(2, tmp_path, [case(run) for key, run in going_on.items() if key[1] != "auto"]))
    for key, run in going_on.items():
        if key[1] == "auto":
            trained(run)
        result = json.loads(Path(run.paths.result).read_text())
        assert result["resumed_from_step"] == 5
        print(key, result["processes"], _loss_difference(run, one))
        assert _loss_difference(run, one) < TOLERANCE["adamw"], key


@pytest.mark.long
@needs_deepspeed
def test_all_processes_leave_out_the_same_steps_and_go_back(tmp_path: Path) -> None:
    from llm.training.guard import MINIMUM
    from tests.llm.training.spoiled import spoil

    assert MINIMUM > 40  # what is skipped here is skipped because it is no number
    settings: dict[str, Any] = {"steps": 40, "validate_every": 20, "learning_rate": 1e-3}
    often = {"checkpoint_seconds": 0.0, "micro_batch_rows": 2}
    one = run_of(tmp_path / "one", **settings)
    one = replace(one, execution=replace(one.execution, **often))
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda step, share: step in (4, 9) or (12 < step < 30 and share == 1))
        expected = trained(one)
    runs = [several(tmp_path / name, name, **settings) for name in STAGES]
    runs = [replace(run, execution=replace(run.execution, **often)) for run in runs]
    done(together(2, tmp_path, [case(run, spoiled_ranks=[1]) for run in runs]))
    for run in runs:
        result = json.loads(Path(run.paths.result).read_text())
        kinds = [(event["event"], event["step"]) for event in result["events"]]
        assert kinds == [(event["event"], event["step"]) for event in expected["events"]]
        assert result["rollbacks"] == 1
        assert set(metrics(run)["loss"]) == set(metrics(one)["loss"])
        assert far(run, one)["loss"] < TOLERANCE["adamw"]


@pytest.mark.long
@needs_deepspeed
def test_asked_to_stop_between_pieces_both_leave_with_a_checkpoint(tmp_path: Path) -> None:
    """A step is four pieces and a look at its end: asked in the middle of the second one."""
    one = run_of(tmp_path / "one")
    trained(one)
    runs = [_in_pieces(several(tmp_path / name, name), 1) for name in STAGES]
    done(together(2, tmp_path, [case(run, stop_at_look=5 + 3) for run in runs]))
    assert not any(Path(run.paths.model).exists() for run in runs)
    done(together(2, tmp_path, [case(run) for run in runs]))
    for run in runs:
        assert json.loads(Path(run.paths.result).read_text())["resumed_from_step"] == 1
        assert far(run, one)["validation_loss"] < TOLERANCE["adamw"]


@pytest.mark.long
@needs_deepspeed
def test_blocks_are_computed_again(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", steps=6)
    trained(one)
    runs = []
    for parallel, kind in (("zero2", "full"), ("zero3", "full"), ("zero3", "selective")):
        run = several(tmp_path / f"{parallel} {kind}", parallel, steps=6)
        execution = replace(run.execution, activation_checkpointing=kind)
        runs.append(replace(run, execution=execution))
    done(together(2, tmp_path, [case(run) for run in runs]))
    for run in runs:
        assert far(run, one)["loss"] < TOLERANCE["adamw"], run.execution


@pytest.mark.long
@needs_deepspeed
def test_out_of_memory_in_one_of_them_is_known_to_the_next_start(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", steps=4)
    trained(one)
    for name in STAGES:
        run = several(tmp_path / name, name, steps=4)
        fault = {"ranks": [1], "call": 4, "backward": False}
        ended = together(2, tmp_path / name, [case(run, no_memory=fault)])
        assert ended.returncode == 1
        assert "DoesNotFitError: a piece of the batch did not fit" in ended.stderr
        done(together(2, tmp_path / name, [case(run)]))
        assert json.loads(Path(run.paths.result).read_text())["micro_batch_rows"] == 2
        assert far(run, one)["loss"] < TOLERANCE["adamw"]


@pytest.mark.parametrize(
    ("stage", "optimiser", "compiled", "told"),
    [
        (2, "muon", False, "muon needs whole matrices; set parallel to fsdp or ddp"),
        (3, "muon", False, "muon needs whole matrices; set parallel to fsdp or ddp"),
        (2, "adamw", True, "set compile to false"),
        (3, "adamw", True, "set compile to false"),
    ],
)
def test_what_cannot_be_is_refused(stage: int, optimiser: Any, compiled: bool, told: str) -> None:
    with pytest.raises(ZeroNotPossibleError, match=told):
        Zero(CPU, Processes(0, 2), stage, optimiser, STANDARD, "fp32", compiled)


def test_rates_by_group_are_refused() -> None:
    mup = replace(STANDARD, kind="mup")
    with pytest.raises(ZeroNotPossibleError, match="parametrisation to standard"):
        Zero(CPU, Processes(0, 2), 2, "adamw", mup, "fp32", compiled=False)


def test_without_deepspeed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(DeepSpeedMissingError, match=r"editable '\.\[deepspeed\]'"):
        Zero(CPU, Processes(0, 2), 2, "adamw", STANDARD, "fp32", compiled=False)
