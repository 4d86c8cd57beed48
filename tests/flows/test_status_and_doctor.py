"""`ingot status` and `ingot doctor`: a real server, real leases, machines that lack things."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from typer.testing import CliRunner

from deployments.bootstrap import declared, ensure_deployment, ensure_pools
from flows.checks import Check, checks
from flows.cli.main import application
from flows.home import open_store
from flows.status import status
from tasks.engine.store.lease import Lease
from tasks.recipe import load


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a server."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return home


def by_name() -> dict[str, Check]:
    return {each.name: each for each in checks()}


def test_a_home_where_nothing_runs(alone: Path) -> None:
    found = status(open_store())
    assert not any(each.running for each in found.services)
    assert "ingot up" in found.unanswered
    assert found.home == str(alone)
    assert found.free_bytes
    shown = CliRunner().invoke(application(), ["status", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["services"][0]["name"] == "server"


def test_stages_being_built_and_left(alone: Path) -> None:
    store = open_store()
    dies = (
        "import os, sys\n"
        "from tasks.engine.store.lease import Lease\n"
        "from tasks.engine.store.store import Store\n"
        "Lease(Store(sys.argv[1]), 'artifacts/dedup/0123/lease').__enter__()\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", dies, store.root], check=False)
    with Lease(store, "artifacts/clean/4567/lease"), Lease(store, "artifacts/pack/89ab/lease"):
        pass
    with Lease(store, "artifacts/filter/cdef/lease"):
        # A holder in this process would count as gone once it let go; another one asks here.
        asked = (
            "import json, sys\n"
            "from flows.status import status\n"
            "from tasks.engine.store.store import Store\n"
            "found = status(Store(sys.argv[1])).building\n"
            "print(json.dumps([[each.stage, each.held, each.pid] for each in found]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", asked, store.root], capture_output=True, text=True, check=True
        )
    (left, stage), (filtering, held) = ((each[0], each[1]) for each in json.loads(done.stdout))
    assert (left, stage) == ("dedup", False)
    assert (filtering, held) == ("filter", True)


def test_schedules_of_a_server(
    prefect_server: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    (entry,) = (entry for entry in declared() if entry["name"] == "00-refresh")

    async def deploy() -> None:
        async with get_client() as client:
            await ensure_pools(client)
            # A schedule that another test has switched on would stay on, whatever it is called.
            for known in await client.read_deployments():
                if known.entrypoint == entry["entrypoint"]:
                    await client.delete_deployment(known.id)
            await ensure_deployment(client, entry, load("quickstart"), "quickstart")

    asyncio.run(deploy())
    found = status(open_store())
    assert found.unanswered == ""
    [nightly] = [each for each in found.schedules if each.deployment == "00-refresh"]
    assert (nightly.name, nightly.when, nightly.active) == ("nightly", "0 3 * * *", False)


def test_a_sound_machine(alone: Path) -> None:
    found = by_name()
    assert {name: each.said for name, each in found.items() if each.verdict == "bad"} == {}
    assert str(alone) in found["home"].said


def test_what_is_wrong_is_named_with_the_way_out(
    alone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    found = by_name()
    assert found["compiler"].verdict == "warn"
    assert "name one in CC" in found["compiler"].way_out
    assert found["server"].verdict == "bad"
    assert "PREFECT_API_URL" in found["server"].way_out
    shown = CliRunner().invoke(application(), ["doctor"])
    assert shown.exit_code == 1


def test_a_home_of_no_use_ends_the_questions_about_it(alone: Path) -> None:
    alone.write_text("a file where the home should be")
    found = checks()
    assert (found[-1].name, found[-1].verdict) == ("home", "bad")
    assert "INGOT_HOME" in found[-1].said


def test_packages_beside_the_lock_file(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = alone.parent / "checkout"
    lock.mkdir()
    (lock / "requirements.lock").write_text("# pins\npytest==0.1\nnot-installed-here==1.0\n")
    monkeypatch.setattr("flows.checks.CHECKOUT", lock)
    found = by_name()["packages"]
    assert found.verdict == "warn"
    assert "pytest" in found.said
    assert "not-installed-here" not in found.said
    assert "make setup" in found.way_out
    assert os.environ["INGOT_HOME"]  # nothing was changed
