"""`ingot forget` as a person gives it, and the flow of the same name on a Prefect server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows.cli import taking_out
from flows.cli.main import application
from flows.cli.running import Done
from flows.forget import forget
from flows.planning import planner_for
from flows.running import Outcome
from tasks.engine.run.build import build
from tasks.engine.run.plan import Planner
from tasks.engine.store.store import Store
from tasks.panels.markdown import inline
from tasks.recipe import load
from tests.flows.pages import write_page, write_recipe
from tests.flows.runs import artifacts

URL = "file:///rivers/Tweed.html"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    site = tmp_path_factory.mktemp("site")
    for topic in ("Severn", "Tweed", "Thames"):
        write_page(site / "pages", f"{topic}.html", topic)
    path = write_recipe(site / "rivers.yaml", site / "pages")
    build(planner_for(load(path), path, Store(str(site / "home"))))
    return path


@pytest.fixture(autouse=True)
def home(recipe: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(recipe).parent / "home"
    monkeypatch.setenv("INGOT_HOME", str(folder))
    return folder


def told(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["forget", *arguments])


def test_what_holds_a_page_is_said_and_nothing_is_changed(recipe: str, home: Path) -> None:
    files = sorted(home.rglob("*"))
    said = told(URL, "-r", recipe)
    assert said.exit_code == 0, said.output
    assert "1 page, in 3 rows of pages looked through; 3 artifacts with rows of them" in said.stdout
    record = json.loads(told(URL, "-r", recipe, "--json").stdout)
    assert [page["url"] for page in record["pages"]] == [URL]
    kept = {each["artifact"].partition("/")[0]: each["rows"] for each in record["artifacts"]}
    assert {stage: sorted(rows) for stage, rows in kept.items()} == {
        "source": ["pages"],
        "clean": ["documents"],
        "dedup": ["documents"],
    }
    assert "none of the 3 rows" in told("nobody.example", "-r", recipe).stdout
    dry = told(URL, "-r", recipe, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert [line.split()[:2] for line in dry.stdout.splitlines() if line.startswith("source ")] == [
        ["source", "stale"]
    ]
    both = json.loads(told(URL, "-r", recipe, "--dry-run", "--json").stdout)
    assert [page["url"] for page in both["pages"]] == [page["url"] for page in record["pages"]]
    assert both["rebuild"][0]["stage"] == "source"
    assert sorted(home.rglob("*")) == files


def without_server(selection: Any, planned: Planner, quiet: bool) -> Done:
    """Builds what was planned in this process."""
    done = build(planned)
    outcomes = [Outcome(name, "Completed", each.artifact) for name, each in done.items()]
    return Done(outcomes, 0.0, "")


def test_a_page_is_taken_out_and_the_certificate_says_how_far_that_holds(
    recipe: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(taking_out, "build_planned", without_server)
    said = told(URL, "-r", recipe, "--apply", "--note", "by letter")
    assert said.exit_code == 0, said.output
    listed = (tmp_path / "home" / "forgotten.csv").read_text().splitlines()
    assert listed[0] == "entry,asked,note"
    assert listed[1].startswith(f"{URL},20")
    assert listed[1].endswith(",by letter")
    # The three pages are one text but for their names: the others still have its words.
    assert "2 texts of 2 that are trained on" in said.stdout
    assert "the removal does not hold yet" in said.stdout
    # All near-duplicates go with it: nothing would be left, and the run says so.
    all_of_it = told(URL, "-r", recipe, "--near-duplicates", "--apply")
    assert all_of_it.exit_code == 1
    assert "removed 3 as opted_out" in str(all_of_it.exception)
    verified = CliRunner().invoke(application(), ["verify"])
    assert verified.exit_code == 0, verified.output
    assert verified.stdout.count("holds forgotten pages") == 3


def test_the_flow_takes_a_page_out_and_shows_its_certificate(
    prefect_server: None, recipe: str, home: Path
) -> None:
    asked: dict[str, Any] = {"pages": [URL], "recipe": recipe}
    dry = forget(**asked, return_state=True)
    assert dry.is_completed()
    assert not (home / "forgotten.csv").exists()
    nobody = forget(["nobody.example"], recipe, return_state=True)
    assert nobody.name == "NotFound"
    assert "none of the 3 rows of pages that were looked through is meant; look at" in str(
        nobody.message
    )
    assert artifacts(nobody).keys() == {"forget"}  # no plan of what would not be done
    state = forget(**asked, dry_run=False, note="by letter", return_state=True)
    assert state.is_completed(), state.message
    certificate = state.result()
    assert [each["stage"] for each in certificate["rebuilt"]] == ["source", "clean", "dedup"]
    assert certificate["searched_texts"] == 2
    assert {each["url"] for each in certificate["shared"]} == {
        "file:///rivers/Severn.html",
        "file:///rivers/Thames.html",
    }
    assert "2 texts of 2" in str(state.message)
    assert state.name == "StillThere"
    shown = artifacts(state)
    assert {"run", "forget", "plan", "stage-source"} <= shown.keys()
    lies_at = next((home / "forgotten").glob("*.json"))
    assert "The removal does not hold: see the texts below" in shown["certificate"]
    assert inline(str(lies_at)) in shown["certificate"]
    assert "[certificate](" in shown["run"]
    kept = json.loads(lies_at.read_text())
    assert kept == certificate
    verified = CliRunner().invoke(application(), ["verify"])
    assert verified.exit_code == 0, verified.output
    assert f"forgotten/{certificate['name']}" in verified.stdout
