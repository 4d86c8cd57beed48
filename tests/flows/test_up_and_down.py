"""`ingot up` as a person uses it: a form filled in, the worker at work, everything gone again."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows import processes, reports
from tasks.engine.store.store import Store
from tests.flows.command import RECIPE, ingot
from tests.flows.runs import finished


@pytest.mark.long
def test_a_form_is_filled_in_and_the_worker_does_it(environment: dict[str, str]) -> None:
    first = ingot(environment, "up", "--recipe", RECIPE)
    assert "worker-cpu started" in first
    address = first.split("server started: ")[1].split()[0]
    again = ingot(environment, "up", "--recipe", RECIPE)
    assert f"server was running: {address}" in again
    assert "worker-cpu was running" in again
    ingot(environment, "run", "--recipe", RECIPE)
    with SyncPrefectClient(f"{address}/api") as client:
        deployment = client.read_deployment_by_name("dedup/08-dedup")
        shown: dict[str, Any] = dict(deployment.parameters)
        assert shown["recipe"] == RECIPE
        assert shown["config"]["validation_fraction"] == 0.0
        shown["config"] = {**shown["config"], "threshold": 0.7}
        run = client.create_flow_run_from_deployment(deployment.id, parameters=shown)
        done = finished(client, run)
        assert done.state is not None
        assert done.state.is_completed(), done.state
        assert done.state.message == "dedup: 3 rows in, 3 kept"
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        keys = {artifact.key for artifact in client.read_artifacts(artifact_filter=of_run)}
        assert keys >= {"plan", "lineage", "stage-dedup"}
        pools = {pool.name: pool.concurrency_limit for pool in client.read_work_pools()}
        assert pools == {"cpu": None, "gpu": 1}
        refresh = client.read_deployment_by_name("refresh/00-refresh")
        assert [schedule.active for schedule in refresh.schedules] == [False]
    home = Path(environment["INGOT_HOME"])
    pids = [psutil.Process(int(r["pid"])) for r in map(_record, (home / "prefect").glob("*.json"))]
    assert len(pids) == 3  # server, worker, reports
    assert "worker-cpu" in ingot(environment, "down")
    assert not any(process.is_running() for process in pids)


def _record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_reports_are_served_on_the_loopback_interface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    store = Store(str(tmp_path))
    store.replace("artifacts/report/0123/0001/report/index.html", b"<h1>How it was made</h1>")
    assert reports.report_address(store) is None
    try:
        report_address = reports.ensure_reports(store)
        assert report_address is not None
        assert reports.ensure_reports(store) == report_address, "started once"
        page = f"{report_address}/reports/0123/0001/report/index.html"
        assert _read(page) == b"<h1>How it was made</h1>"
        elsewhere = Store(str(tmp_path / "other"))
        assert reports.report_address(elsewhere) is None
        assert reports.ensure_reports(Store("memory://reports")) is None
    finally:
        assert processes.stop_process("reports")


def _read(url: str) -> bytes:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: bytes = answer.read()
                return found
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.1)
