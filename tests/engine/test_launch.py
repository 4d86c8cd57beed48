from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.engine.errors import CancelledError, TrainerError
from tasks.engine.launch import launch

MODULE = "tests.engine.fake_trainer"
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}


def start(tmp_path: Path, cancelled: Any = lambda: False, **run: Any) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    run = {"pid_file": str(tmp_path / "pid"), **run}
    launch(MODULE, run, tmp_path, heard.append, cancelled, ENVIRONMENT)
    return heard


def test_events_arrive_and_other_output_is_no_event(tmp_path: Path) -> None:
    heard = start(tmp_path)
    assert heard[0] == {"event": "log", "message": "hello"}
    assert [event["done"] for event in heard[1:]] == [1, 2, 3]


def test_its_own_error_is_the_message(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="NonFiniteLossError: at step 3"):
        start(tmp_path, error=True)


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
    launch(MODULE, run, tmp_path / "run", heard.append, lambda: False, environment, processes)
    assert [event["done"] for event in heard if "done" in event].count(3) == processes


def test_a_crash_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"exit code -11(.|\n)*segmentation fault ahead"):
        start(tmp_path, crash=True)


def test_cancelling_ends_it(tmp_path: Path) -> None:
    with pytest.raises(CancelledError, match="goes on from its checkpoint"):
        start(tmp_path, cancelled=lambda: True, sleep=0.2, steps=1000)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_it_dies_with_a_parent_killed_hard(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.engine.test_launch import start;"
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
