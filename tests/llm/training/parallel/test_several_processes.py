"""Two and four processes on CPUs do what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from llm.model.folder import load
from llm.model.parametrisation_choice import Parametrisation
from llm.training import task_items
from llm.training.run_file import Run, Tasks
from llm.training.task_scores import TaskScores
from tests.llm.training.small_run import (
    ALONE,
    CPU,
    EXECUTION,
    metrics,
    never,
    run_of,
    task_file,
    trained,
)

# Muon gives every direction of a gradient the same size, and rounding with it.
TOLERANCE = {"adamw": 1e-5, "muon": 1e-3}
NEVER: dict[str, Any] = {"ranks": [], "call": 0, "backward": False}


def case(
    run: Run,
    stop_after: int = 0,
    stop_at_look: int = 0,
    no_memory: dict[str, Any] = NEVER,
    no_disk: tuple[int, int] = (-1, 0),
    spoiled_ranks: list[int] | None = None,
) -> dict[str, Any]:
    stops = {"stop_after": stop_after, "stop_at_look": stop_at_look}
    disk = {"rank": no_disk[0], "file": no_disk[1]}
    faults = {"no_memory": no_memory, "no_disk": disk, "spoiled_ranks": spoiled_ranks or []}
    return {"run": asdict(run), **stops, **faults}


def together(
    processes: int, folder: Path, cases: list[dict[str, Any]], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Do all of them, in processes that are started once."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.json").write_text(json.dumps(cases))
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [sys.executable, "-m", *torchrun, "-m", "tests.llm.training.parallel.cases", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def done(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stderr[-5000:]
    return ended.stdout


def several(folder: Path, parallel: str, **settings: Any) -> Run:
    return run_of(folder, replace(EXECUTION, parallel=parallel), **settings)


def far(run: Run, reference: Run, without: Sequence[str] = ()) -> dict[str, float]:
    """name -> largest relative difference, of all that is measured but what `without` names."""
    ours, theirs = metrics(run), metrics(reference)
    ours = {name: told for name, told in ours.items() if name not in without}
    for told in (ours, theirs):
        told.pop("micro_batch_rows")  # a process alone has other pieces
    assert {name: set(told) for name, told in ours.items()} == {
        name: set(told) for name, told in theirs.items()
    }
    return {
        name: max(abs(told[step] - ours[name][step]) / (abs(told[step]) or 1) for step in told)
        for name, told in theirs.items()
        if name != "learning_rate"
    }


@pytest.mark.long
@pytest.mark.parametrize("processes", [2, 4])
def test_losses_are_those_of_one(tmp_path: Path, processes: int) -> None:
    cases, pairs = [], []
    for optimiser in ("adamw", "muon"):
        # 11 rows leave some process without one in the last piece.
        settings: dict[str, Any] = {"optimiser": optimiser, "steps": 20, "batch_rows": 11}
        one = run_of(tmp_path / optimiser, **settings)
        trained(one)
        for parallel in ("ddp", "fsdp"):
            run = several(tmp_path / f"{optimiser} {parallel}", parallel, **settings)
            run = replace(run, execution=replace(run.execution, micro_batch_rows=2))
            cases.append(case(run))
            pairs.append((run, one, parallel, TOLERANCE[optimiser]))
    done(together(processes, tmp_path, cases))
    for run, one, parallel, tolerance in pairs:
        differences = far(run, one)
        print(parallel, run.optimisation.optimiser, differences)
        assert differences["loss"] < tolerance
        assert differences["validation_loss"] < tolerance
        result = json.loads(Path(run.paths.result).read_text())
        assert (result["parallel"], result["processes"]) == (parallel, processes)


def test_with_rates_by_group_losses_are_those_of_one(tmp_path: Path) -> None:
    mup = Parametrisation("mup", 8, 1, 4, zero_init=False)
    settings: dict[str, Any] = {"optimiser": "muon", "steps": 8, "parametrisation": mup}
    one = run_of(tmp_path / "one", **settings)
    trained(one)
    tasks = Tasks(5, str(task_file(tmp_path / "tasks.parquet")))
    runs = [
        replace(several(tmp_path / name, name, **settings), tasks=tasks) for name in ("ddp", "fsdp")
    ]
    done(together(2, tmp_path, [case(run) for run in runs]))
    a = one.architecture
    alone = TaskScores(
        task_items.read(Path(tasks.items), a.vocabulary_size, a.context), CPU, "fp32", never()
    )
    for run in runs:
        told = metrics(run)
        asked = {name: told[name] for name in alone.names}
        assert [set(steps) for steps in asked.values()] == [{5, 8}] * 3
        # Shared out over processes, the model is asked as it is by one.
        found = alone(load(Path(run.paths.model)), ALONE)
        assert {name: steps[8] for name, steps in asked.items()} == found
        assert far(run, one, without=alone.names)["loss"] < TOLERANCE["muon"]


@pytest.mark.long
def test_nodes_share_out_within_and_repeat_between(tmp_path: Path) -> None:
    """Two nodes of two processes (HSDP); gradients cross once a batch, not once a piece."""
    settings: dict[str, Any] = {"optimiser": "muon", "steps": 8, "batch_rows": 11}
    one = run_of(tmp_path / "one", **settings)
    trained(one)
    run = several(tmp_path / "four", "fsdp", **settings)
    run = replace(run, execution=replace(run.execution, micro_batch_rows=1))
    done(together(4, tmp_path, [case(run)], INGOT_TEST_LOCAL_WORLD_SIZE="2"))
    assert far(run, one)["loss"] < TOLERANCE["muon"]


@pytest.mark.long
@pytest.mark.parametrize("backward", [False, True])
def test_out_of_memory_in_the_middle_all_do_the_batch_again(tmp_path: Path, backward: bool) -> None:
    """Two layers, at first one piece: the fourth call is the upper layer's, in the second step."""
    one = run_of(tmp_path / "one", steps=4)
    trained(one)
    cases, runs = [], []
    for parallel, ranks in (("ddp", [1]), ("fsdp", [0, 1])):
        run = several(tmp_path / parallel, parallel, steps=4)
        fault = {"ranks": ranks, "call": 4, "backward": backward}
        cases.append(case(run, no_memory=fault))
        runs.append(run)
    done(together(2, tmp_path, cases))
    for run in runs:
        assert far(run, one)["loss"] < TOLERANCE["adamw"], run.execution.parallel
        assert json.loads(Path(run.paths.result).read_text())["micro_batch_rows"] == 2


@pytest.mark.long
def test_out_of_memory_in_one_of_those_who_share_is_known_to_the_next_start(tmp_path: Path) -> None:
    """The other one waits for weights that never come, and ends with it."""
    one = run_of(tmp_path / "one", steps=4)
    trained(one)
    run = several(tmp_path / "fsdp", "fsdp", steps=4)
    fault = {"ranks": [1], "call": 4, "backward": False}
    ended = together(2, tmp_path, [case(run, no_memory=fault)], INGOT_TEST_PATIENCE="2")
    assert ended.returncode == 1
    assert "DoesNotFitError: a piece of the batch did not fit" in ended.stderr
    done(together(2, tmp_path, [case(run)]))
    assert json.loads(Path(run.paths.result).read_text())["micro_batch_rows"] == 2
    assert far(run, one)["loss"] < TOLERANCE["adamw"]


@pytest.mark.long
@pytest.mark.parametrize(("look", "done_steps"), [(5 + 3, 1), (5 * 4 + 4 + 2, 5)])
def test_asked_to_stop_between_pieces_all_leave_with_a_checkpoint(
    tmp_path: Path, look: int, done_steps: int
) -> None:
    """A step is four pieces and a look at its end, the validation after step 5 three pieces."""
    one = run_of(tmp_path / "one")
    trained(one)
    runs = []
    for parallel in ("ddp", "fsdp"):
        run = several(tmp_path / parallel, parallel)
        runs.append(replace(run, execution=replace(run.execution, micro_batch_rows=1)))
    done(together(2, tmp_path, [case(run, stop_at_look=look) for run in runs]))
    assert not any(Path(run.paths.model).exists() for run in runs)
    done(together(2, tmp_path, [case(run) for run in runs]))
    for run in runs:
        result = json.loads(Path(run.paths.result).read_text())
        assert result["resumed_from_step"] == done_steps
        assert far(run, one)["validation_loss"] < TOLERANCE["adamw"]


@pytest.mark.long
def test_where_one_finds_the_disk_full_all_end_and_the_checkpoint_before_stays(
    tmp_path: Path,
) -> None:
    """Two files a checkpoint and process: the second one's second."""
    one = run_of(tmp_path / "one")
    trained(one)
    cases, runs = [], []
    for parallel, rank in (("ddp", 0), ("fsdp", 1)):
        run = several(tmp_path / parallel, parallel)
        runs.append(replace(run, execution=replace(run.execution, checkpoint_seconds=0.0)))
        cases.append(case(runs[-1], no_disk=(rank, 4)))
    ended = together(2, tmp_path, cases)
    done(ended)
    for number in range(2):
        told = [line for line in ended.stderr.splitlines() if f"case {number}, process" in line]
        assert len(told) == 2
        assert all("No space left on device" in line for line in told)
    for run in runs:
        [kept] = (Path(run.paths.scratch) / "checkpoints").iterdir()
        assert kept.name == "step-00000001"
    done(together(2, tmp_path, [case(run) for run in runs]))
    for run in runs:
        assert json.loads(Path(run.paths.result).read_text())["resumed_from_step"] == 1
        assert far(run, one)["validation_loss"] < TOLERANCE["adamw"]


@pytest.mark.long
def test_later_training_goes_on_from_what_several_shared_out(tmp_path: Path) -> None:
    """One process, and two that share out, continue what two have left before the decay."""
    one, two = run_of(tmp_path / "one"), several(tmp_path / "two", "fsdp")
    trained(one)
    done(together(2, tmp_path, [case(two)]))
    assert len(list(Path(two.paths.resumable).glob("optimisers-*-of-00002.safetensors"))) == 2
    later = {}
    for name, start, parallel in (
        ("from one", one, "auto"),
        ("from two", two, "auto"),
        ("from two by two", two, "fsdp"),
    ):
        run = several(tmp_path / name, parallel, steps=5, warmup_steps=0)
        later[name] = replace(run, paths=replace(run.paths, start=start.paths.resumable))
    trained(later["from one"])
    trained(later["from two"])
    done(together(2, tmp_path, [case(later["from two by two"])]))
    for name in ("from two", "from two by two"):
        assert far(later[name], later["from one"])["loss"] < TOLERANCE["adamw"], name


@pytest.mark.long
def test_compiled_blocks_are_shared_out_too(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 6, "optimiser": "muon"}
    one = run_of(tmp_path / "one", **settings)
    trained(one)
    runs = []
    for parallel, kind in (("ddp", "none"), ("fsdp", "none"), ("fsdp", "full")):
        run = several(tmp_path / f"{parallel} {kind}", parallel, **settings)
        execution = replace(run.execution, compile=True, activation_checkpointing=kind)
        runs.append(replace(run, execution=execution))
    done(together(2, tmp_path, [case(run) for run in runs]))
    for run in runs:
        assert json.loads(Path(run.paths.result).read_text())["compiled"]
        assert far(run, one)["loss"] < TOLERANCE["muon"]


@pytest.mark.long
def test_a_checkpoint_is_gone_on_from_by_another_number(tmp_path: Path) -> None:
    """Two processes stop after step 5 of 12; one, or four, end where one alone would have."""
    settings: dict[str, Any] = {"optimiser": "muon", "batch_rows": 11}
    one = run_of(tmp_path / "one", **settings)
    trained(one)
    begun = {
        (parallel, count, after): several(
            tmp_path / f"{parallel}{count}{after}", parallel, **settings
        )
        for parallel in ("ddp", "fsdp")
        for count, after in ((1, "auto"), (1, "fsdp"), (4, "ddp"), (4, "fsdp"))
    }
    done(together(2, tmp_path, [case(run, stop_after=5) for run in begun.values()]))
    going_on = {
        key: replace(run, execution=replace(run.execution, parallel=key[2]))
        for key, run in begun.items()
    }
    done(together(4, tmp_path, [case(run) for key, run in going_on.items() if key[1] == 4]))
    for key, run in going_on.items():
        if key[1] == 1:
            trained(run)
        result = json.loads(Path(run.paths.result).read_text())
        assert (result["resumed_from_step"], result["processes"]) == (5, key[1])
        assert far(run, one)["loss"] < TOLERANCE["muon"], key
