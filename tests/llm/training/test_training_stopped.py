"""SIGTERM in each phase of a training run: how it ends, and that the next start loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from llm.process.parent import TERMINATED, Interrupted, StoppedError, StopRequest, defer_signals
from llm.training import loop, step, validation
from llm.training.loop import train
from tasks.engine.errors import CancelledError
from tasks.engine.stage.launch import launch
from tests.llm.training import slow_pieces
from tests.llm.training.small_run import EXECUTION, metrics, run_of, trained, weights
from tests.llm.training.test_training_launched import ALONE, TWO, launched
from tests.processes import alive_after

PIECES = replace(EXECUTION, micro_batch_rows=2)  # four a step
# Sends itself the signal when it is about to write the model, and would then wait for ever.
WRITING = """
import os, signal, sys, time
from llm.model import folder
from llm.training.__main__ import main
def save(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)
folder.save = save
sys.exit(main(sys.argv[1:]))
"""
SLOW_COMPILER = """#!/bin/sh
[ -e "{folder}/now" ] || exec g++ "$@"
echo $$ > "{folder}/compiling"
exec sleep 600
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def at_call(number: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose n-th call sends this process SIGTERM first."""
    calls = 0

    def called(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGTERM)
        assert calls <= number, "it went on after SIGTERM"
        return function(*arguments, **named)

    return called


def stopped(run: Any, message: str) -> None:
    stop = StopRequest()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("save", "finish"):
            patch.setattr(loop.Saver, name, kept_calm(getattr(loop.Saver, name), stop))
        with pytest.raises(StoppedError, match=message):
            train(run, stop)


def kept_calm(write: Callable[..., Any], stop: StopRequest) -> Callable[..., Any]:
    """A last checkpoint during which SIGTERM comes again, as a supervisor may send it."""

    def written(*arguments: Any) -> Any:
        if stop.requested:
            os.kill(os.getpid(), signal.SIGTERM)
        return write(*arguments)

    return written


@pytest.mark.parametrize(("call", "done"), [(4 * 4 + 2, 4), (4 * 11 + 4, 11)])
def test_a_step_is_dropped_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, done: int
) -> None:
    whole, cut = (run_of(tmp_path / name, PIECES) for name in ("whole", "cut"))
    trained(whole)
    with monkeypatch.context() as patch:
        patch.setattr(step, "summed_loss", at_call(call, step.summed_loss))
        stopped(cut, f"after step {done} of 12, with a checkpoint")
    assert trained(cut)["resumed_from_step"] == done
    assert weights(cut) == weights(whole)
    assert metrics(cut) == metrics(whole)


@pytest.mark.parametrize(("call", "done"), [(2, 5), (3 + 3 + 1, 12)])
def test_a_validation_is_dropped_and_made_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, done: int
) -> None:
    """Five rows, two at once: three calls each after steps 5, 10 and 12."""
    whole, cut = (run_of(tmp_path / name, PIECES) for name in ("whole", "cut"))
    trained(whole)
    with monkeypatch.context() as patch:
        patch.setattr(validation, "token_losses", at_call(call, validation.token_losses))
        stopped(cut, f"after step {done} of 12, with a checkpoint")
    assert trained(cut)["resumed_from_step"] == done
    assert weights(cut) == weights(whole)
    assert metrics(cut) == metrics(whole)


def test_stopped_while_the_model_is_written_it_has_nothing_to_train_again(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(asdict(run)))
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", WRITING, str(tmp_path / "run.json")], check=False, timeout=120
    )
    assert ended.returncode == TERMINATED
    assert time.monotonic() - began < 60
    assert trained(run)["resumed_from_step"] == 12
    assert metrics(run)["validation_loss"].keys() == {5, 10, 12}


@pytest.mark.long
def test_while_the_first_step_is_compiled_it_ends_at_once_with_the_compiler(tmp_path: Path) -> None:
    run = run_of(tmp_path, replace(EXECUTION, compile=True))
    compiler = tmp_path / "compiler"
    compiler.write_text(SLOW_COMPILER.format(folder=tmp_path))
    compiler.chmod(0o755)
    compiling, requested = tmp_path / "compiling", [0.0]

    def hear(event: dict[str, Any]) -> None:
        if "steps 1 to 12" in event.get("message", ""):
            (tmp_path / "now").touch()

    def cancelled() -> bool:
        if not (compiling.exists() and compiling.read_text().strip()):
            return False
        requested[0] = requested[0] or time.monotonic()
        return True

    environment = {
        "CXX": str(compiler),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with pytest.raises(CancelledError, match="was stopped; the next run starts it from"):
        launch(
            "llm.training",
            asdict(run),
            tmp_path / "scratch",
            hear,
            cancelled,
            environment,
            checkpoint="checkpoints/step-????????/state.json",
        )
    assert time.monotonic() - requested[0] < 5
    assert not alive_after([int(compiling.read_text())], seconds=2)


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("command", "parallel"), [(ALONE, "auto"), (TWO, "ddp"), (TWO, "fsdp")])
def test_in_a_step_of_minutes_it_ends_within_25_seconds_with_a_checkpoint(
    tmp_path: Path, command: list[str], parallel: Any, times: int
) -> None:
    """A signal is seen between micro-batches; one that comes again changes nothing."""
    execution = replace(EXECUTION, micro_batch_rows=1, parallel=parallel)
    run = run_of(tmp_path, execution, steps=2, batch_rows=slow_pieces.PIECES)
    requested: list[float] = []

    def ask(event: dict[str, Any], process: subprocess.Popen) -> None:
        if event.get("message") == "the long step has begun" and not requested:
            requested.append(time.monotonic())
            for _ in range(times):
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)

    module = slow_pieces.__name__
    code, heard = launched(asdict(run), tmp_path, ask, command, module)
    assert time.monotonic() - requested[0] < 25
    # A second one may find Python on its way out.
    assert code in ({TERMINATED, -signal.SIGTERM} if command is ALONE else {1})
    said = "stopped after step 1 of 2, with a checkpoint"
    assert any(event.get("message") == said for event in heard)
    checkpoints = Path(run.paths.scratch) / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000001"]


def test_what_may_not_be_dropped_is_finished_first() -> None:
    stop = StopRequest()
    stop.hold()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.requested
    stop.check()  # outside `may_drop` it is a look that finds nothing to leave
    with pytest.raises(Interrupted), stop.may_drop():
        raise AssertionError("asked before, it must not begin")


def test_a_signal_waits_until_what_is_started_can_be_ended() -> None:
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    with defer_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        assert came == []
    assert came == [signal.SIGTERM]
