"""A Prefect server that goes away in the middle of a stage: the run goes on and ends well."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

from tests.flows.command import RECIPE

# `clean` takes the server away when it begins, and goes on for a while with progress and logs.
PROGRAM = """
import sys, time
import psutil
from flows import processes
from flows.cli import main
from flows.home import prepare_environment

prepare_environment()
way, seconds = sys.argv.pop(1), float(sys.argv.pop(1))

def take_away():
    if way == "stopped":
        processes.stop_process("server")
        return
    for member in processes.family(processes.find_process("server")):
        member.kill() if way == "killed" else member.suspend()

def slowly(order, store, listener, *rest, **named):
    if order.stage.name == "clean" and way in ("stopped", "killed", "hung"):
        take_away()
        for step in range(int(seconds * 5)):
            listener.progress("clean", step, int(seconds * 5), "page", {})
            if step % 5 == 0:
                listener.log("clean", f"second {step // 5}")
            time.sleep(0.2)
    return real(order, store, listener, *rest, **named)

def patched():
    from flows import build
    from flows.cli import terminal
    from tasks import runner
    global real
    real, runner.execute = runner.execute, slowly
    if way == "hung before":
        terminal.build = after_it_hangs(terminal.build)
    if way == "hung at first":
        build.preview = after_it_hangs(build.preview)

def after_it_hangs(function):
    taken = []
    def called(*given, **named):
        if not taken:
            taken.append(take_away())
        return function(*given, **named)
    return called

from flows import server
started = server.ensure_server

def ensure_server(*given):
    found = started(*given)
    patched()  # Prefect must not be imported before its server's address is known
    return found

from flows.cli import running
running.ensure_server = ensure_server
main.main()
"""


def run(env: dict[str, str], way: str, seconds: int) -> subprocess.CompletedProcess[str]:
    arguments = [way, str(seconds), "run", "--recipe", RECIPE]
    ended = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=env,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


def runs(env: dict[str, str]) -> list[tuple[str, str]]:
    """State and message of every flow run, oldest first."""
    record = json.loads((Path(env["INGOT_HOME"]) / "prefect" / "server.json").read_text())
    with SyncPrefectClient(f"http://127.0.0.1:{record['port']}/api") as client:
        found = sorted(client.read_flow_runs(), key=lambda one: str(one.created))
    return [(one.state.type.value, str(one.state.message)) for one in found if one.state]


def lines(env: dict[str, str], run: int) -> list[str]:
    """What the server has of a run's log, oldest run first."""
    record = json.loads((Path(env["INGOT_HOME"]) / "prefect" / "server.json").read_text())
    with SyncPrefectClient(f"http://127.0.0.1:{record['port']}/api") as client:
        found = sorted(client.read_flow_runs(), key=lambda one: str(one.created))
        of_it = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[found[run].id]))
        return [line.message for line in client.read_logs(of_it)]


def tasks(env: dict[str, str]) -> dict[str, str]:
    record = json.loads((Path(env["INGOT_HOME"]) / "prefect" / "server.json").read_text())
    deadline = time.monotonic() + 30
    while True:
        with SyncPrefectClient(f"http://127.0.0.1:{record['port']}/api") as client:
            found = {one.name: str(one.state_name) for one in client.read_task_runs()}
        ended = all(state in ("Completed", "Cached") for state in found.values())
        if (len(found) == 3 and ended) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def told(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on the terminal that are about the server."""
    lines = (ended.stdout + ended.stderr).splitlines()
    assert len([line for line in lines if "second" not in line]) < 60, ended.stderr
    for noise in ("httpx", "Traceback", "Error logging to API", "ConnectError", "websocket"):
        assert not any(noise in line for line in lines), ended.stderr
    return [line.split(" - ")[-1] for line in lines if "Prefect server" in line]


SECONDS = [f"clean: second {second}" for second in range(8)]


@pytest.mark.long
def test_killed_it_is_started_again_and_told_everything(environment: dict[str, str]) -> None:
    ended = run(environment, "killed", 8)
    assert "Completed: source, clean, dedup" in ended.stdout
    heard = [line for line in told(ended) if "still starting" not in line]
    assert heard == [
        "the Prefect server died; it is started again, the run goes on",
        "the Prefect server is back",
    ]
    assert runs(environment) == [("COMPLETED", "3 stages ran, 0 cached")]
    assert tasks(environment) == dict.fromkeys(["source", "clean", "dedup"], "Completed")
    assert [line for line in lines(environment, 0) if "second" in line] == SECONDS


@pytest.mark.long
def test_stopped_the_run_ends_without_and_its_end_is_recorded_later(
    environment: dict[str, str],
) -> None:
    began = time.monotonic()
    ended = run(environment, "stopped", 8)
    assert time.monotonic() - began < 200
    assert "Completed: source, clean, dedup" in ended.stdout
    heard = [line for line in told(ended) if "still starting" not in line]
    assert heard == [
        "the Prefect server was stopped; the run goes on without it",
        "dedup runs without being shown: the Prefect server is away",
        "the Prefect server was away when the run ended; the next command records its end",
    ]
    assert "Cached: source, clean, dedup" in run(environment, "not", 0).stdout
    states = runs(environment)
    assert states[0] == ("COMPLETED", "the Prefect server was away when it ended")
    assert states[1][0] == "COMPLETED"
    assert [line for line in lines(environment, 0) if "second" in line] == SECONDS


@pytest.mark.long
@pytest.mark.parametrize("way", ["hung before", "hung at first", "hung"])
def test_one_that_hangs_is_told_within_seconds_and_the_run_ends_well(
    environment: dict[str, str], way: str
) -> None:
    ended = run(environment, way, 40 if way == "hung" else 0)
    assert "Completed: source, clean, dedup" in ended.stdout
    besides = ("still starting", "runs without being shown")
    heard = [line for line in told(ended) if not any(words in line for words in besides)]
    then = "the run waits for it" if way == "hung before" else "the run goes on without it"
    assert re.fullmatch(rf"the Prefect server at \S+ is away; {then}", heard[0])
    assert re.fullmatch(r"the Prefect server \(process \d+\) hangs and is ended", heard[1])
    assert heard[2] == "the Prefect server died; it is started again, the run goes on"
    assert heard[-1] == "the Prefect server is back"
    assert [state for state, _ in runs(environment)][-1] == "COMPLETED"
    if way == "hung":
        told_of = [line for line in lines(environment, 0) if "second" in line]
        assert told_of == [f"clean: second {second}" for second in range(40)]
