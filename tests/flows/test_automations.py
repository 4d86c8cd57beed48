"""What `ingot up` registers: learning that follows a refresh, and one refresh after an outage."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL
from prefect.states import Scheduled

from deployments.bootstrap import (
    declared,
    ensure_automation,
    ensure_deployment,
    ensure_pools,
    pool,
)
from flows import events
from llm.process.safe_path import CHECKOUT
from tasks.recipe import load
from tests.flows.pages import write_page, write_recipe

pytestmark = pytest.mark.long


def entry(name: str) -> dict[str, object]:
    return next(each for each in declared() if each["name"] == f"00-{name}")


async def deployed(client: PrefectClient, name: str, recipe: str) -> UUID:
    await ensure_pools(client)
    await ensure_deployment(client, entry(name), load(recipe), recipe)
    return (await client.read_deployment_by_name(f"{name}/00-{name}")).id


async def runs_of(client: PrefectClient, deployment: UUID) -> list[FlowRun]:
    wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    return await client.read_flow_runs(
        flow_run_filter=wanted,
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
    )


def test_learning_runs_where_it_trains() -> None:
    assert pool(entry("learn"), load("quickstart")) == "cpu"
    assert pool(entry("learn"), load("quickstart", ["pretrain.pool=gpu"])) == "gpu"


def published(flow: str) -> None:
    emit_event(
        events.CORPUS,
        resource={
            "prefect.resource.id": "ingot.quickstart.pack",
            "ingot.recipe": "quickstart",
            "ingot.flow": flow,
        },
    )


def test_a_refreshed_corpus_starts_learning_once_it_is_switched_on(prefect_server: None) -> None:
    async def follow() -> None:
        recipe = load("quickstart")
        async with get_client() as client:
            deployment = await deployed(client, "learn", "quickstart")
            name = "ingot: quickstart learns from a corpus that has grown"
            for left in await client.read_automations_by_name(name):
                await client.delete_automation(left.id)
            await ensure_automation(client, recipe)
            [made] = await client.read_automations_by_name(name)
            assert made.enabled is False
            await client.resume_automation(made.id)
            await ensure_automation(client, recipe)
            [kept] = await client.read_automations_by_name(name)
            assert (kept.id, kept.enabled) == (made.id, True)
            await asyncio.sleep(2)  # the server's triggers load it
            published("build")
            published("refresh")
            deadline = time.monotonic() + 120
            while not await runs_of(client, deployment):
                assert time.monotonic() < deadline, "no run was started"
                await asyncio.sleep(0.5)
            await asyncio.sleep(3)
            [run] = await runs_of(client, deployment)
            assert run.parameters["recipe"] == "quickstart"
            await client.delete_flow_run(run.id)
            await client.delete_automation(made.id)

    asyncio.run(follow())


def test_refreshes_missed_in_an_outage_are_caught_up_with_once(
    prefect_server: None, tmp_path: Path
) -> None:
    for topic in ("Severn", "Tweed"):
        write_page(tmp_path / "pages", f"{topic}.html", topic)
    recipe = write_recipe(tmp_path / "rivers.yaml", tmp_path / "pages")

    async def missed() -> tuple[UUID, list[UUID]]:
        async with get_client() as client:
            deployment = await deployed(client, "refresh", recipe)
            due = datetime.now(UTC)
            nights = [Scheduled(scheduled_time=due - timedelta(days=n)) for n in (4, 3, 2, 1)]
            made = [
                await client.create_flow_run_from_deployment(deployment, state=state)
                for state in nights
            ]
            return deployment, [run.id for run in made]

    deployment, ids = asyncio.run(missed())
    worker = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--type", "process"]
    environment = {
        **os.environ,
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PYTHONPATH": str(CHECKOUT),
        "INGOT_HOME": str(tmp_path / "home"),
        "INGOT_ROOT": str(tmp_path),
    }
    subprocess.run([*worker, "--pool", "cpu", "--run-once"], check=True, env=environment)

    async def ended() -> list[tuple[str, str]]:
        async with get_client() as client:
            runs = [await client.read_flow_run(each) for each in ids]
            states = [run.state for run in runs]
            await client.delete_deployment(deployment)
            return [(state.type.value, state.message or "") for state in states if state]

    found = asyncio.run(ended())
    assert sorted(kind for kind, _ in found) == ["CANCELLED"] * 3 + ["COMPLETED"], found
    assert [message for kind, message in found if kind == "COMPLETED"] == [
        "ran source, clean, dedup"
    ]
