"""Ctrl-C, `kill` and a closed terminal stop a command the same way: what it does is put away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import alive_after, has_ended
from tests.terminal import Terminal

INTERRUPT, TERMINATE, HANG_UP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
WAITING = """
import sys, time, types
from pathlib import Path
from pydantic import BaseModel, model_serializer
from flows.cli import main as command_line

class Slow(BaseModel):
    @model_serializer
    def wait(self):
        print("waiting", flush=True)
        time.sleep(120)

def wait(kept: Path, within: bool = False):
    try:
        if within:
            Slow().model_dump()
        print("waiting", flush=True)
        time.sleep(120)
    finally:
        print("stopping", flush=True)
        time.sleep(1)
        kept.touch()

waiting = types.ModuleType("flows.cli.waiting")
waiting.register = lambda app: app.command()(wait)
sys.modules[waiting.__name__] = waiting
command_line.COMMANDS["waiting"] = ("wait",)
command_line.main()
"""
DEAF = """
import subprocess, time
from flows.cli.stopping import Stopping

Stopping()
sleep = ["sleep", "600"]
nowhere = subprocess.DEVNULL
started = subprocess.Popen(sleep, stdout=nowhere, stderr=nowhere)
served = subprocess.Popen(sleep, stdout=nowhere, stderr=nowhere, start_new_session=True)
pids = [started.pid, served.pid]
while True:
    try:
        if pids:
            print(*pids, flush=True)  # Ctrl-C may follow at once
            pids = []
        time.sleep(600)
    except KeyboardInterrupt:
        pass
"""
KEPT = "interrupted; finished shards and checkpoints are kept: run again to continue\n"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Waiting:
    def __init__(self, kept: Path, *options: str, deaf: bool = False) -> None:
        command = [sys.executable, "-c", WAITING, "wait", str(kept), *options]
        if deaf:
            command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        self.hear("waiting")

    def hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (INTERRUPT, None),
        (TERMINATE, None),
        (HANG_UP, None),
        # The shell's and the kernel's; and a terminal closed while something stops.
        (HANG_UP, HANG_UP),
        (TERMINATE, HANG_UP),
        (INTERRUPT, HANG_UP),
    ],
)
def test_a_signal_lets_a_command_put_away_what_it_does(
    tmp_path: Path, first: signal.Signals, then: signal.Signals | None
) -> None:
    waiting = Waiting(tmp_path / "kept")
    waiting.process.send_signal(first)
    waiting.hear("stopping")
    if then is not None:
        waiting.process.send_signal(then)
    _, said = waiting.process.communicate(timeout=60)
    assert waiting.process.returncode == 128 + first
    assert said.endswith(KEPT)
    assert "Traceback" not in said
    assert (tmp_path / "kept").exists()


def test_a_library_that_makes_an_error_of_the_signal_changes_nothing(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path / "kept", "--within")
    waiting.process.send_signal(HANG_UP)
    _, said = waiting.process.communicate(timeout=60)
    assert waiting.process.returncode == 128 + HANG_UP
    assert said.startswith("PydanticSerializationError: ")
    assert said.endswith(KEPT)
    assert "Traceback" not in said


def test_asked_twice_it_ends_at_once(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path / "kept")
    waiting.process.send_signal(TERMINATE)
    waiting.hear("stopping")
    waiting.process.send_signal(TERMINATE)
    waiting.process.communicate(timeout=60)
    assert waiting.process.returncode == 128 + TERMINATE
    assert not (tmp_path / "kept").exists()


def test_what_is_to_outlive_its_terminal_does(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path / "kept", deaf=True)
    waiting.process.send_signal(HANG_UP)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.process.wait(1.5)
    waiting.process.send_signal(TERMINATE)
    waiting.process.communicate(timeout=60)
    assert waiting.process.returncode == 128 + TERMINATE


def test_a_terminal_that_is_gone_is_not_written_to(tmp_path: Path) -> None:
    terminal = Terminal(
        [sys.executable, "-c", WAITING, "wait", str(tmp_path / "kept")], ENVIRONMENT
    )
    assert next(terminal.lines()) == "waiting"
    terminal.close()
    assert terminal.exit_code() == 128 + HANG_UP
    assert (tmp_path / "kept").exists()


def test_what_does_not_end_after_a_second_ctrl_c_is_ended_with_what_it_started() -> None:
    """As where it waits for a server that is away, again and again."""
    command = [sys.executable, "-c", DEAF]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    assert process.stderr is not None
    started, served = (int(pid) for pid in process.stdout.readline().split())
    try:
        process.send_signal(INTERRUPT)
        assert process.stderr.readline() == (
            "stopping; what is finished is kept (Ctrl-C again ends it at once)\n"
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        began = time.monotonic()
        process.send_signal(INTERRUPT)
        assert process.stderr.read() == "ended at once; run again to continue\n"
        assert process.wait(timeout=20) == 128 + INTERRUPT
        assert time.monotonic() - began < 10
        assert not alive_after([started], seconds=2)
        assert not has_ended(served), "a server has a session of its own"
    finally:
        os.kill(served, signal.SIGKILL)
