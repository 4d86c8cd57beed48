"""The flows on a real Prefect server: three stages over a folder of pages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_URL
from prefect.states import State

from deployments.bootstrap import declared, ensure_deployment, ensure_pools, remove_undeclared
from flows import events
from flows.build import build
from flows.other_pool import OtherPoolError
from flows.refresh import refresh
from flows.stages import stage_flow
from tasks.engine.errors import IngotError, MissingInputError
from tasks.engine.run.code import checkout
from tasks.engine.store import channels
from tasks.engine.store.store import Store
from tasks.panels.markdown import inline
from tasks.recipe import load
from tasks.registry import STAGES
from tests.flows.pages import write_page, write_recipe
from tests.flows.runs import artifacts
from tests.web_server import WebServer

CHAIN = ["source", "clean", "dedup"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def home(site: Path, prefect_server: None) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_HOME", str(site / "home"))
        yield Store(str(site / "home"))


@pytest.fixture(scope="module")
def recipe(site: Path) -> str:
    for topic in ("Severn", "Tweed", "Thames"):
        write_page(site / "pages", f"{topic}.html", topic)
    return write_recipe(site / "rivers.yaml", site / "pages")


@pytest.fixture(scope="module")
def first(home: Store, recipe: str) -> State[Any]:
    return build(recipe, return_state=True)


def dedup_alone(recipe: str, **asked: Any) -> State[Any]:
    """The flow of one stage, its form left as it is but for what is asked."""
    form = {"config": None, "inputs": [], "force": False, "dry_run": False, "save_as": ""}
    told: State[Any] = stage_flow(STAGES["dedup"])(
        **{**form, "recipe": recipe, **asked}, return_state=True
    )
    return told


def states(state: State[Any]) -> dict[str, str]:
    return {told["stage"]: told["state"] for told in state.result()}


def test_a_first_run_builds_everything_and_shows_it(first):
    assert states(first) == dict.fromkeys(CHAIN, "Completed")
    wanted = {"plan", "lineage", "funnel", *(f"stage-{name}" for name in CHAIN)}
    assert wanted <= artifacts(first).keys()


def test_the_overview_has_the_stages_in_order_and_where_each_is_shown(first):
    page = artifacts(first)["run"]
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    assert [cells[0] for cells in lines] == [f"| {stage}" for stage in CHAIN]
    assert [cells[1] for cells in lines] == ["Completed"] * 3
    run = ArtifactFilterFlowRunId(any_=[first.state_details.flow_run_id])
    with get_client(sync_client=True) as client:
        made = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=run))
    ids = {each.key: each.id for each in made}
    for key in ("plan", "funnel", *(f"stage-{stage}" for stage in CHAIN)):
        assert f"[{key}](../artifact/{ids[key]})" in page
    assert sum(each.key == "run" for each in made) == 1


def told_of(name: str) -> list[Event]:
    """The server's events of a name, the latest first."""

    async def ask() -> list[Event]:
        async with get_client() as client:
            wanted = EventFilter(event=EventNameFilter(name=[name]))
            return (await client.read_events(filter=wanted, limit=50)).events

    return asyncio.run(ask())


def test_what_was_built_is_an_event_and_what_was_served_is_none(first, home, recipe):
    builds = {each["build_id"]: each["stage"] for each in first.result()}
    deadline = time.monotonic() + 60
    while True:  # the server writes them down some at a time
        found = {event.resource["ingot.build_id"]: event for event in told_of(events.STAGE)}
        if builds.keys() <= found.keys() or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert {build: found[build].resource["ingot.stage"] for build in builds} == builds
    [clean] = [found[build] for build, stage in builds.items() if stage == "clean"]
    assert clean.resource.id == "ingot.rivers.clean"
    totals = channels.resolve(home, "rivers", "clean").manifest.totals
    assert clean.payload["kept"] == totals.kept
    build(recipe, return_state=True)
    count = sum(
        event.resource["ingot.build_id"] == clean.resource["ingot.build_id"]
        for event in told_of(events.STAGE)
    )
    assert count == 1


def test_a_second_run_is_cached_and_says_so(first, recipe):
    again = build(recipe, return_state=True)
    assert states(again) == dict.fromkeys(CHAIN, "Cached")
    assert again.message == "0 stages ran, 3 cached"


def test_a_run_of_nothing_waits_for_no_turn(first, recipe, monkeypatch):
    """Prefect asks for a turn for every tag of a task, and SQLite refuses it now and then."""
    asked: list[str] = []
    for client in (httpx.Client, httpx.AsyncClient):
        monkeypatch.setattr(client, "send", noted(client.send, asked))
    again = build(recipe, return_state=True)
    assert states(again) == dict.fromkeys(CHAIN, "Cached")
    assert sum(path.endswith("/artifacts/") for path in asked) >= len(CHAIN)
    assert not [path for path in asked if "concurrency_limits" in path]


def noted(send: Any, paths: list[str]) -> Any:
    """`send` of a client, which writes down the path of every request."""

    def sent(self: Any, request: httpx.Request, *arguments: Any, **named: Any) -> Any:
        paths.append(request.url.path)
        return send(self, request, *arguments, **named)

    return sent


def test_one_field_reruns_what_depends_on_it_alone(first, recipe):
    changed = build(recipe, changes=["dedup.shingle_words=3"], return_state=True)
    assert states(changed) == {"source": "Cached", "clean": "Cached", "dedup": "Completed"}


def test_force_makes_one_new_attempt(first, home, recipe):
    folder = first.result()[1]
    base = f"artifacts/clean/{folder['build_id'][:16]}"
    before = [name for name in home.names(base) if name.isdigit()]
    forced = build(recipe, force=["clean"], return_state=True)
    after = [name for name in home.names(base) if name.isdigit()]
    assert len(after) == len(before) + 1
    # Equal bytes: what reads them is not made again.
    assert states(forced) == {"source": "Cached", "clean": "Completed", "dedup": "Cached"}


def test_a_dry_run_plans_and_stops(first, recipe):
    planned = build(recipe, changes=["dedup.shingle_words=4"], dry_run=True, return_state=True)
    assert planned.result() == []
    assert "plan" in artifacts(planned)


def test_a_damaged_artifact_is_not_served_from_prefects_record(first, home, recipe):
    told = build(recipe, return_state=True).result()[1]
    attempt = f"artifacts/clean/{told['build_id'][:16]}/{told['attempt']}"
    part = next(path for path in home.files(f"{attempt}/documents"))
    Path(home.local_path(part)).unlink()
    assert states(build(recipe, return_state=True))["clean"] == "Completed"


def test_a_stage_alone_reads_the_latest(first, home, recipe):
    config = STAGES["dedup"].config(threshold=0.9, workers=1)
    state = dedup_alone(config=config, recipe=recipe)
    assert state.name == "Completed"
    assert state.message.startswith("dedup: 3 rows in")
    latest = channels.resolve(home, "rivers", "dedup")
    assert latest is not None
    assert latest.manifest.config["threshold"] == 0.9


def test_a_stage_alone_reads_the_attempt_it_is_told_to(first, home, recipe):
    other = build(recipe, changes=["clean.comments=true"], only=["clean"], return_state=True)
    assert other.is_completed()
    told = first.result()[1]
    exact = f"clean/{told['build_id']}/{told['attempt']}"
    state = dedup_alone(recipe=recipe, inputs=[exact], force=True)
    assert state.is_completed()
    latest = channels.resolve(home, "rivers", "dedup")
    assert latest is not None
    assert latest.manifest.inputs["documents"].build_id == told["build_id"]


def test_a_form_left_as_it_was_means_the_recipe_chosen(first, home, recipe, monkeypatch):
    shown = load("quickstart")
    (entry,) = (entry for entry in declared() if entry["stage"] == "dedup")

    async def deployed() -> str:
        async with get_client() as client:
            await ensure_pools(client)
            await ensure_deployment(client, entry, shown, "quickstart")
            made = await client.read_deployment_by_name("dedup/08-dedup")
            commit = checkout()[0]
            assert made.version is not None if commit else made.version is None
            assert (made.version or "").startswith((commit or "")[:12])
            return str(made.id)

    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", asyncio.run(deployed()))
    untouched = shown.configs["dedup"]
    assert untouched.validation_fraction != load(recipe).configs["dedup"].validation_fraction
    dedup_alone(config=untouched, recipe=recipe)
    latest = channels.resolve(home, "rivers", "dedup")
    wanted = load(recipe).configs["dedup"].identity()
    assert latest.manifest.config == wanted
    changed = untouched.model_copy(update={"threshold": 0.9})
    dedup_alone(config=changed, recipe=recipe)
    latest = channels.resolve(home, "rivers", "dedup")
    # That field alone: the others are still the recipe's.
    assert latest.manifest.config == {**wanted, "threshold": 0.9}


def plan_of(state: State[Any]) -> dict[str, str]:
    """The reasons a run's plan gives, by stage."""
    return {row["stage"]: row["why"] for row in json.loads(artifacts(state)["plan"])}


def test_a_field_changed_for_one_run_is_named_by_the_next(first, home, recipe):
    build(recipe)
    dedup_alone(recipe, config=load(recipe, ["dedup.threshold=0.75"]).configs["dedup"])
    planned = build(recipe, dry_run=True, return_state=True)
    said = plan_of(planned)["dedup"]
    assert "the last run had dedup.threshold=0.75 for itself" in said
    assert f"ingot run --recipe {recipe} --set dedup.threshold=0.75 --save-as NAME" in said
    back = build(recipe, return_state=True)
    assert states(back)["dedup"] == "Cached"
    assert plan_of(build(recipe, dry_run=True, return_state=True))["dedup"] == "-"


def test_a_changed_field_is_kept_as_a_recipe(first, home, site, recipe, monkeypatch):
    monkeypatch.setenv("INGOT_ROOT", str(site))
    build(recipe)
    before = channels.resolve(home, "rivers", "dedup")
    config = load(recipe, ["dedup.threshold=0.65"]).configs["dedup"]
    kept = dedup_alone(recipe, config=config, save_as="narrower")
    assert kept.name == "Completed"
    assert yaml.safe_load((site / "narrower.yaml").read_text()) == {
        "extends": "rivers.yaml",
        "dedup": {"threshold": 0.65},
    }
    assert channels.resolve(home, "rivers", "dedup").folder == before.folder
    again = build("narrower.yaml", return_state=True)
    assert states(again) == dict.fromkeys(CHAIN, "Cached")
    assert plan_of(again)["dedup"] == "-"
    whole = build(recipe, changes=["dedup.threshold=0.6"], save_as="wider", return_state=True)
    assert states(whole) == {"source": "Cached", "clean": "Cached", "dedup": "Completed"}
    assert load("wider.yaml").configs["dedup"].threshold == 0.6


def test_a_missing_input_fails_with_the_command_to_run(prefect_server, recipe, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_HOME", str(tmp_path))
        state = dedup_alone(recipe=recipe)
    assert state.is_failed()
    with pytest.raises(MissingInputError, match=f"ingot run --recipe {recipe} --only clean"):
        state.result()


def test_a_failing_stage_is_named_and_fails_the_run(first, recipe):
    failed = build(recipe, changes=["source.sources.0.kind=parquet"], return_state=True)
    with pytest.raises(IngotError) as caught:
        failed.result()
    assert "Stage source failed" in caught.value.__notes__[0]
    shown = artifacts(failed)
    assert inline(str(caught.value)) in shown["failure"]
    assert "Stage source failed. Finished work is kept" in shown["failure"]
    assert "| source | **failed** |" in shown["run"]


def test_a_pool_that_is_not_there_is_told_with_the_command_that_makes_it(first, recipe):
    failed = build(recipe, changes=["dedup.pool=shed"], force=["dedup"], return_state=True)
    with pytest.raises(OtherPoolError, match="work pool 'shed'") as caught:
        failed.result()
    way_out = f"`PREFECT_API_URL={PREFECT_API_URL.value()} prefect work-pool create shed --type"
    assert way_out in str(caught.value)


def test_what_is_wrong_before_any_stage_runs_is_shown_too(first, recipe):
    failed = build(recipe, changes=["dedup.threshold=2"], return_state=True)
    assert failed.is_failed()
    assert "dedup.threshold" in artifacts(failed)["failure"]


def test_refresh_ends_early_and_then_picks_up_a_new_page(home, site, recipe):
    build(recipe)
    nothing = refresh(recipe, return_state=True)
    assert (nothing.name, nothing.is_completed()) == ("NothingNew", True)
    write_page(site / "pages", "Wye.html", "Wye")
    something = refresh(recipe, return_state=True)
    assert something.message == "ran source, clean, dedup"
    assert artifacts(nothing).keys() >= {"plan"}


def test_a_refresh_may_only_look(home, site, recipe):
    build(recipe)
    write_page(site / "pages", "Dee.html", "Dee")
    looked = refresh(recipe, dry_run=True, return_state=True)
    assert looked.message == "planned 3 stages; nothing was run"
    assert refresh(recipe, return_state=True).message == "ran source, clean, dedup"


def test_deployments_under_names_of_before_go_and_their_schedule_stays_on(prefect_server):
    (entry,) = (entry for entry in declared() if entry["name"] == "00-refresh")
    names: dict[str, bool] = {}

    async def renamed() -> None:
        async with get_client() as client:
            await ensure_pools(client)
            recipe = load("quickstart")
            old = {**entry, "name": "nightly-refresh"}
            on = [{**each, "active": True} for each in entry["schedules"]]
            await ensure_deployment(client, {**old, "schedules": on}, recipe, "quickstart")
            await ensure_deployment(
                client, {**entry, "name": "00-refresh-gpu"}, recipe, "quickstart"
            )
            await ensure_deployment(client, entry, recipe, "quickstart")
            assert await remove_undeclared(client, declared()) == ["nightly-refresh"]
            for each in await client.read_deployments():
                names[each.name] = any(schedule.active for schedule in each.schedules)

    asyncio.run(renamed())
    assert names["00-refresh"]
    assert "00-refresh-gpu" in names
    assert "nightly-refresh" not in names


def test_what_a_person_set_in_the_ui_is_not_set_back(prefect_server):
    (entry,) = (entry for entry in declared() if entry["name"] == "00-refresh")
    recipe = load("quickstart")
    monday = CronSchedule(cron="30 6 * * 1", timezone="Europe/Berlin")
    small = {"recipe": "small"}

    async def set_up_twice() -> tuple[list[tuple[Any, ...]], int | None]:
        async with get_client() as client:
            await ensure_pools(client)
            await ensure_deployment(client, entry, recipe, "quickstart")
            found = await client.read_deployment_by_name("refresh/00-refresh")
            (nightly,) = (each for each in found.schedules if each.slug == "nightly")
            await client.update_deployment_schedule(found.id, nightly.id, True, monday)
            added = DeploymentScheduleCreate(
                schedule=CronSchedule(cron="0 12 * * *", timezone="UTC"),
                active=True,
                parameters=small,
            )
            await client.create_deployment_schedules(found.id, [added])
            await client.update_work_pool("gpu", WorkPoolUpdate(concurrency_limit=2))
            await ensure_pools(client)
            await ensure_deployment(client, entry, recipe, "quickstart")
            again = await client.read_deployment_by_name("refresh/00-refresh")
            assert all(isinstance(each.schedule, CronSchedule) for each in again.schedules)
            kept = [
                (each.schedule.cron, each.schedule.timezone, each.active, each.parameters)
                for each in again.schedules
                if isinstance(each.schedule, CronSchedule)
            ]
            limit = (await client.read_work_pool("gpu")).concurrency_limit
            await client.update_work_pool("gpu", WorkPoolUpdate(concurrency_limit=1))
            return kept, limit

    kept, limit = asyncio.run(set_up_twice())
    assert sorted(kept) == [
        ("0 12 * * *", "UTC", True, small),
        ("30 6 * * 1", "Europe/Berlin", True, {}),
    ]
    assert limit == 2


def test_refresh_asks_a_network_what_there_is_now(prefect_server, home, tmp_path):
    with WebServer().running() as server:
        urls = [server.serve(f"/{name}.txt", f"About the {name}.") for name in ("Severn", "Wye")]
        fetch = {"workers": 1, "private_hosts": ["127.0.0.1"]}
        source = {"workers": 1, "sources": [{"name": "rivers", "fetched": "web"}]}
        sections = {"fetch": {**fetch, "files": [{"name": "web", "urls": urls}]}, "source": source}
        recipe = tmp_path / "asked.yaml"
        recipe.write_text(yaml.safe_dump({"name": "asked", **sections}))
        first = refresh(str(recipe), return_state=True)
        assert first.message == "ran fetch, source"
        nothing = refresh(str(recipe), return_state=True)
        assert (nothing.name, nothing.is_completed()) == ("NothingNew", True)
        assert server.paths("GET") == ["/Severn.txt", "/Wye.txt"], "listed again, and not fetched"
        server.serve("/Wye.txt", "More about the Wye.")
        something = refresh(str(recipe), return_state=True)
        assert something.message == "ran fetch, source"
        assert server.paths("GET") == ["/Severn.txt", "/Wye.txt", "/Wye.txt"]
