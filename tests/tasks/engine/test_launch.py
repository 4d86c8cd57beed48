from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.engine.errors import CancelledError, StoreFullError, TrainerError
from tasks.engine.stage import launch as launching
from tasks.engine.stage.launch import launch
from tasks.engine.stage.ranks import Ranks
from tests.processes import has_ended

MODULE = "tests.tasks.engine.fake_trainer"
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}


def start(
    tmp_path: Path, cancelled: Any = lambda: False, on_event: Any = None, **run: Any
) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    run = {"pid_file": str(tmp_path / "pid"), **run}
    on_event = on_event or heard.append
    launch(MODULE, run, tmp_path, on_event, cancelled, ENVIRONMENT, checkpoint="step-*")
    return heard


def test_events_arrive_and_other_output_is_no_event(tmp_path: Path) -> None:
    heard = start(tmp_path)
    assert heard[0] == {"event": "log", "message": "hello"}
    assert [event["done"] for event in heard[1:]] == [1, 2, 3]


def test_its_own_error_is_the_message(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="NonFiniteLossError: at step 3"):
        start(tmp_path, error="at step 3")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_folder_of_the_same_name_where_it_is_started_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    for name in ("tests", "llm"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    heard: list[dict[str, Any]] = []
    run = {"pid_file": str(tmp_path / "pid")}
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    ranks = Ranks(processes)
    launch(MODULE, run, tmp_path / "run", heard.append, lambda: False, environment, ranks)
    assert [event["done"] for event in heard if "done" in event].count(3) == processes


def test_a_crash_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"exit code -11(.|\n)*segmentation fault ahead"):
        start(tmp_path, crash=int(signal.SIGSEGV))


def test_cancelling_ends_it(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    with pytest.raises(CancelledError, match="resumes from its last checkpoint"):
        start(tmp_path, lambda: bool(heard), heard.append, sleep=0.2, steps=1000)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_silent_one_is_cancelled_too(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(CancelledError, match="resumes from its last checkpoint"):
        start(tmp_path, cancelled=lambda: time.monotonic() > began + 3, sleep=600)
    assert has_ended(int((tmp_path / "pid").read_text()))


def test_one_that_does_not_stop_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE_SECONDS", 1.0)
    with pytest.raises(CancelledError, match="did not stop in time and was ended"):
        start(tmp_path, lambda: (tmp_path / "pid").exists(), stubborn=True, sleep=600)
    assert has_ended(int((tmp_path / "pid").read_text()))


def test_a_kill_from_outside_is_told_as_what_it_mostly_is(tmp_path: Path) -> None:
    with pytest.raises(
        TrainerError, match=r"SIGKILL.*ran out of memory \([\d.]+ GB in all"
    ) as told:
        start(tmp_path, crash=int(signal.SIGKILL))
    assert "the next run starts it from the beginning" in str(told.value)
    assert str(tmp_path / "stderr.log") in str(told.value)


def test_a_full_disk_is_no_fault_of_the_trainer(tmp_path: Path) -> None:
    with pytest.raises(StoreFullError, match=r"no space left on / ?.*free of .*os error 28"):
        start(tmp_path, error="I/O error: No space left on device (os error 28)")


class Interrupted:
    """A process that launches a trainer, alone in a group that gets a terminal's signals."""

    def __init__(self, tmp_path: Path, **run: Any) -> None:
        program = (
            "import json, sys; from pathlib import Path; "
            "from tests.tasks.engine.test_launch import start"
            "\nstart(Path(sys.argv[1]), on_event=lambda e: print(json.dumps(e), flush=True),"
            " **json.loads(sys.argv[2]))"
        )
        self._pid_file = tmp_path / "pid"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), json.dumps({"steps": 9999, **run})],
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until(self, words: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if words in line:
                return line
        raise AssertionError(f"{words!r} was not said; {self.process.communicate()[1]}")

    def ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def trainer(self) -> int:
        return int(self._pid_file.read_text())


def test_ctrl_c_lets_it_write_its_checkpoint(tmp_path: Path) -> None:
    run = Interrupted(tmp_path, sleep=0.05)
    run.until('"done": 2')
    assert os.getpgid(run.trainer()) == run.process.pid, "the signal reaches the trainer too"
    run.ctrl_c()
    out, errors = run.process.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert run.process.returncode == -signal.SIGINT
    said = [line for line in out.splitlines() if '"log"' in line]
    assert "waiting up to 120 s; Ctrl-C again ends it at once" in said[0]
    assert "checkpoint written" in said[1]
    assert "was stopped; the next run resumes from its last checkpoint" in said[2]
    assert has_ended(run.trainer())


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    run = Interrupted(tmp_path, sleep=0.05, stubborn=True)
    run.until('"done": 2')
    run.ctrl_c()
    run.until("stopping tests.tasks.engine.fake_trainer")
    deadline = time.monotonic() + 20
    while not (tmp_path / "asked").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not has_ended(run.trainer())
    run.ctrl_c()
    run.process.communicate(timeout=10)
    assert run.process.returncode == -signal.SIGINT
    assert has_ended(run.trainer())


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_whether_there_is_a_checkpoint_is_what_is_told(
    tmp_path: Path, kept: bool, default: bool
) -> None:
    if kept:
        (tmp_path / "step-1").touch()
    run = Interrupted(tmp_path, sleep=0.05, keeps_nothing=True, default=default)
    run.until('"done": 2')
    run.ctrl_c()
    then = "resumes from its last checkpoint" if kept else "starts it from the beginning"
    run.until(f"was stopped; the next run {then}")
    run.process.communicate(timeout=10)


def test_it_dies_with_a_parent_killed_hard(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.tasks.engine.test_launch import start;"
        "start(Path(sys.argv[1]), sleep=0.1, steps=1000)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], env={**os.environ, **ENVIRONMENT}
    )
    pid_file = tmp_path / "pid"
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    pid, deadline = int(pid_file.read_text()), time.monotonic() + 2
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
