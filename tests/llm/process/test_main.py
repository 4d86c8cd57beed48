"""The frame of launched processes: events on standard output, the rest beside it, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm.process.parent import TERMINATED

PROCESS = """
import os, sys
from pathlib import Path
from llm.process import events
from llm.process.main import run_launched
from llm.process.parent import StoppedError
from llm.process.run_file import read_record
def work(run):
    print("a library's line")
    os.write(1, b"a line from below Python\\n")
    events.log("at work")
    if run["end"] == "stopped":
        raise StoppedError("stopped after step 3, with a checkpoint")
    if run["end"] == "failed":
        raise KeyError("no such token")
    Path(run["offline"]).write_text(os.environ["HF_HUB_OFFLINE"])
sys.exit(run_launched("llm.work", sys.argv[1:], read_record, work))
"""


def process(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROCESS, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
        check=False,
        timeout=60,
    )


def run_file(folder: Path, end: str) -> list[str]:
    path = folder / "run.json"
    path.write_text(json.dumps({"end": end, "offline": str(folder / "offline")}))
    return [str(path)]


def said(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Every line of standard output must be an event."""
    return [json.loads(line) for line in done.stdout.splitlines()]


WORKING = {"event": "log", "message": "at work"}


def test_events_alone_reach_the_launcher(tmp_path: Path) -> None:
    done = process(run_file(tmp_path, "done"))
    assert (done.returncode, said(done)) == (0, [WORKING])
    assert sorted(done.stderr.splitlines()) == ["a library's line", "a line from below Python"]
    assert (tmp_path / "offline").read_text() == "1"


def test_an_error_is_the_last_event_and_its_traceback_in_the_log(tmp_path: Path) -> None:
    done = process(run_file(tmp_path, "failed"))
    error = {"event": "error", "type": "KeyError", "message": "'no such token'"}
    assert (done.returncode, said(done)) == (1, [WORKING, error])
    assert done.stderr.rstrip().endswith("KeyError: 'no such token'")
    assert "Traceback" in done.stderr


def test_a_run_file_that_is_none_is_an_error_too(tmp_path: Path) -> None:
    done = process([str(tmp_path / "run.json")])
    assert done.returncode == 1
    assert [event["type"] for event in said(done)] == ["RunFileError"]


@pytest.mark.parametrize(("rank", "speaks"), [("0", True), ("1", False)])
def test_a_stop_has_an_exit_code_and_one_of_several_processes_tells(
    tmp_path: Path, rank: str, speaks: bool
) -> None:
    done = process(run_file(tmp_path, "stopped"), RANK=rank)
    assert done.returncode == TERMINATED
    stop = {"event": "log", "message": "stopped after step 3, with a checkpoint"}
    assert said(done) == [WORKING, *([stop] if speaks else [])]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["run.json", "again"]])
def test_wrong_usage(arguments: list[str]) -> None:
    done = process(arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: python -m llm.work run.json\n"
