"""Commands given in a folder that has a `tasks`, `flows`, `llm` and `deployments` of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from llm.process.safe_path import CHECKOUT, safe_path
from tests.flows.command import RECIPE, ingot
from tests.flows.runs import finished

NAMES = ("tasks", "flows", "llm", "deployments", "tests")
SCRIPT = Path(sys.executable).with_name("ingot")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of somebody who uses Prefect: any import of its packages ends the process."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} is shadowed')\n")
    return tmp_path


def test_own_folder_comes_first_and_what_was_given_stays() -> None:
    assert safe_path({}) == {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(CHECKOUT)}
    given = os.pathsep.join(["/mine", "", str(CHECKOUT)])
    assert safe_path({"PYTHONPATH": given})["PYTHONPATH"] == f"{CHECKOUT}{os.pathsep}/mine"


def test_the_script_itself(folder: Path, environment: dict[str, str]) -> None:
    if not SCRIPT.exists():
        pytest.skip(f"{SCRIPT} is not installed")
    planned = subprocess.run(
        [SCRIPT, "plan", "--recipe", RECIPE],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in environment.items() if name != "PYTHONPATH"},
    )
    assert planned.returncode == 0, planned.stderr
    assert "dedup" in planned.stdout


def test_plan_and_run(folder: Path, environment: dict[str, str]) -> None:
    assert "missing" in ingot(environment, "plan", "--recipe", RECIPE)
    ran = ingot(environment, "run", "--recipe", RECIPE, "--set", "clean.workers=2")
    assert "Completed: source, clean, dedup" in ran


@pytest.mark.long
def test_up_and_a_run_of_the_worker(folder: Path, environment: dict[str, str]) -> None:
    address = ingot(environment, "up", "--recipe", RECIPE)
    url = address.split("server started: ")[1].split()[0]
    with SyncPrefectClient(f"{url}/api") as client:
        build = client.read_deployment_by_name("build/00-build")
        run = client.create_flow_run_from_deployment(build.id)
        done = finished(client, run)
    assert done.state is not None
    assert done.state.message == "3 stages ran, 0 cached", done.state
