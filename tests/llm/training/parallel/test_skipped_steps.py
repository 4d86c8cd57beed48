"""A gradient that goes wrong in one of two processes: both leave the step out, and go back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm.training.run_file import Run
from tests.llm.training.parallel.test_several_processes import (
    TOLERANCE,
    case,
    done,
    far,
    several,
    together,
)
from tests.llm.training.small_run import metrics, run_of, trained
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
