"""A run that takes more than it may asks, and does what it is told, on a real Prefect server."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flow_runs import resume_flow_run
from typer.testing import CliRunner

from flows import approval
from flows.build import build
from flows.cli.main import application
from flows.refresh import refresh
from tasks.approval import NotApprovedError
from tasks.approval_limits import LimitError
from tests.flows.command import RECIPE, ingot
from tests.flows.pages import write_page, write_recipe
from tests.flows.runs import artifacts, finished


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(approval, "_POLL_SECONDS", 0.2)
    for topic in ("Severn", "Tweed"):
        write_page(tmp_path / "pages", f"{topic}.html", topic)
    return write_recipe(tmp_path / "rivers.yaml", tmp_path / "pages")


def waiting(client: SyncPrefectClient, deadline: float) -> FlowRun:
    """The run that waits for an answer."""
    kind = FlowRunFilterStateType(any_=[StateType.PAUSED])
    wanted = FlowRunFilter(state=FlowRunFilterState(type=kind))
    while True:
        found: list[FlowRun] = client.read_flow_runs(flow_run_filter=wanted)
        if found:
            return found[0]
        assert time.monotonic() < deadline, "no run waits for an answer"
        time.sleep(0.2)


def answer_next(answer: dict[str, Any]) -> threading.Thread:
    """Somebody who answers the run that asks, as the form does."""

    def answering() -> None:
        with get_client(sync_client=True) as client:
            run = waiting(client, time.monotonic() + 60)
        resume_flow_run(run.id, run_input=answer)

    thread = threading.Thread(target=answering)
    thread.start()
    return thread


def test_a_yes_lets_it_run(recipe: str, tmp_path: Path, prefect_server: None) -> None:
    thread = answer_next({"approve": True, "by": "Ada", "why": "the river rises"})
    state = build(recipe, approve_above="2h", return_state=True)
    thread.join()
    assert [told["state"] for told in state.result()] == ["Completed"] * 3
    shown = artifacts(state)["approval"]
    assert [row["stage"] for row in _table(shown)] == ["source", "clean", "dedup", "all"]
    again = build(recipe, approve_above="always", return_state=True)
    assert again.message == "0 stages ran, 3 cached"  # of nothing there is nothing to ask
    write_page(tmp_path / "pages", "Thames.html", "Thames")
    below = build(recipe, approve_above="2h", return_state=True)
    assert below.message == "3 stages ran, 0 cached"  # by what it took the last time


def _table(data: Any) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(data)
    return found


def test_a_no_runs_nothing(recipe: str, tmp_path: Path, prefect_server: None) -> None:
    thread = answer_next({"approve": False, "by": "Ada", "why": "too dear"})
    state = refresh(recipe, approve_above="always", return_state=True)
    thread.join()
    assert (state.name, state.type) == ("Declined", StateType.CANCELLED)
    assert state.message == (
        "declined by Ada: too dear; nothing was run (approval is always asked for)"
    )
    assert not list((tmp_path / "home").glob("artifacts/*"))


def test_without_an_answer_it_ends(
    recipe: str, tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "WAIT_SECONDS", 1)
    with pytest.raises(NotApprovedError, match=r"nobody answered for 1\.0 s, so nothing was run"):
        build(recipe, approve_above="2h")
    assert not list((tmp_path / "home").glob("artifacts/*"))


def test_the_command_asks_at_the_terminal(recipe: str, tmp_path: Path) -> None:
    # A test's standard input is no terminal.
    ended = CliRunner().invoke(application(), ["run", "--recipe", recipe, "--approve-above", "2h"])
    assert isinstance(ended.exception, NotApprovedError)
    assert "there is no terminal to ask on: nothing was run. --yes approves it" in str(
        ended.exception
    )
    assert "dedup" in ended.output
    assert not list((tmp_path / "home").glob("artifacts/*"))


def test_a_limit_that_is_none_is_refused_on_a_dry_run_too(recipe: str) -> None:
    told = CliRunner().invoke(
        application(), ["run", "-r", recipe, "--approve-above", "banana", "--dry-run"]
    )
    assert isinstance(told.exception, LimitError)
    assert told.stdout == ""


@pytest.mark.long
def test_a_run_of_a_worker_is_suspended_and_goes_on(environment: dict[str, str]) -> None:
    up = ingot(environment, "up", "--recipe", RECIPE)
    address = up.split("server started: ")[1].split()[0]
    with SyncPrefectClient(f"{address}/api") as client:
        deployment = client.read_deployment_by_name("build/00-build")
        runs: list[FlowRun] = []
        for approve in (False, True):
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters={"recipe": RECIPE, "approve_above": "1s"}
            )
            asked = waiting(client, time.monotonic() + 120)
            assert (asked.id, asked.state and asked.state.name) == (run.id, "Suspended")
            # Its turn is free: the deployment has one, and another run is to begin meanwhile.
            aside = client.create_flow_run_from_deployment(
                deployment.id, parameters={"recipe": RECIPE, "dry_run": True}
            )
            assert _ended(client, aside) == "planned 3 stages; nothing was run"
            answer = {"approve": approve, "by": "Ada", "why": "as agreed"}
            client.resume_flow_run(run.id, run_input=answer)
            runs.append(finished(client, run))
    states = [run.state for run in runs]
    assert [state and state.name for state in states] == ["Declined", "Completed"]
    assert states[1] is not None
    assert states[1].message == "3 stages ran, 0 cached"
    forced = ("run", "--recipe", RECIPE, "--force", "dedup", "--approve-above", "always")
    said = ingot(environment, *forced, "--yes")
    assert "to be approved: approval is always asked for" in said
    assert "Completed: dedup" in said


def _ended(client: SyncPrefectClient, run: FlowRun) -> str | None:
    state = finished(client, run).state
    assert state is not None
    return state.message
