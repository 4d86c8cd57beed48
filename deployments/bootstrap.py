"""Set up a Prefect server for Ingot: pools, limits, deployments. Safe to repeat.

    python -m deployments.bootstrap --recipe quickstart

`prefect.yaml` has the deployments of whole chains, the registry those of single
stages; the recipe fills the defaults of each stage's form, so that what a person
sees in the UI is what would run.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    GlobalConcurrencyLimitCreate,
    WorkPoolCreate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from flows import events
from flows.deployment_names import CHAIN, TAG, deployment_name, part_of
from flows.recipe_choice import offer_recipes
from tasks.engine.run.code import checkout
from tasks.learn_section import LearnConfig
from tasks.recipe import Recipe, load
from tasks.recipe_list import found_recipes
from tasks.registry import STAGES

CHECKOUT = Path(__file__).resolve().parents[1]
PREFECT_YAML = CHECKOUT / "deployments" / "prefect.yaml"
POOLS: dict[str, int | None] = {"cpu": None, "gpu": 1}
_LEARN, _REFRESH = "learn", "refresh"


def declared() -> list[dict[str, Any]]:
    """Every deployment: those of prefect.yaml, and one a stage."""
    chains: list[dict[str, Any]] = yaml.safe_load(PREFECT_YAML.read_text())["deployments"]
    stages = [
        {
            "name": deployment_name(stage, STAGES),
            "stage": stage,
            "entrypoint": f"flows/stages.py:{stage}",
            "work_pool": {"name": "cpu"},
            "tags": [TAG, part_of(stage, STAGES)],
        }
        for stage in STAGES
    ]
    return [*({**entry, "stage": None, "tags": [TAG, CHAIN]} for entry in chains), *stages]


def flow_of(entry: dict[str, Any]) -> Flow[..., Any]:
    """The flow object an entrypoint means."""
    path, _, name = entry["entrypoint"].partition(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    flow: Flow[..., Any] = getattr(module, name)
    return flow


def parameters(entry: dict[str, Any], recipe: Recipe, recipe_name: str) -> dict[str, Any]:
    """Defaults of a deployment's form."""
    filled = dict(entry.get("parameters", {}))
    if "recipe" in flow_of(entry).parameters.properties:
        filled["recipe"] = recipe_name
    config = _config(entry, recipe)
    if config is not None:
        filled["config"] = config
    return filled


def _config(entry: dict[str, Any], recipe: Recipe) -> dict[str, Any] | None:
    """What the form of a stage, or of learning, shows of a recipe."""
    if flow_of(entry).name == _LEARN:
        return (recipe.learn or LearnConfig.model_validate({})).model_dump(mode="json")
    config = recipe.configs.get(entry["stage"])
    return None if config is None else config.in_form()


def form(entry: dict[str, Any], recipe: Recipe, recipes: Sequence[str]) -> dict[str, Any]:
    """The schema of a deployment's form: that of its flow, and what is known only here.

    Args:
        recipes: what `recipe` offers.
    """
    schema = parameter_schema(flow_of(entry)).model_dump_for_openapi()
    offer_recipes(schema, recipes)
    if _config(entry, recipe) is not None:
        # Filled in, a config need not be told from none.
        shown = schema["properties"]["config"]
        shown |= {key: value for key, value in shown.pop("anyOf")[0].items() if key == "$ref"}
    return schema


def pool(entry: dict[str, Any], recipe: Recipe) -> str:
    """The work pool of a deployment: what the recipe names for the stage, else the one declared."""
    # What learns trains in its own process.
    stage = "pretrain" if flow_of(entry).name == _LEARN else entry["stage"]
    config = recipe.configs.get(stage)
    named: str = entry["work_pool"]["name"]
    return (config.pool if config is not None else "") or named


def version() -> str | None:
    """Of every deployment: the commit of its code; none outside a git checkout."""
    commit, dirty = checkout()
    return commit and f"{commit[:12]}{'-dirty' if dirty else ''}"


async def ensure_pools(client: PrefectClient) -> None:
    """Process work pools; the gpu pool runs one flow at a time, until somebody raises it."""
    for name, limit in POOLS.items():
        try:
            await client.read_work_pool(name)
        except ObjectNotFound:
            await client.create_work_pool(
                WorkPoolCreate(name=name, type="process", concurrency_limit=limit)
            )


async def ensure_limits(client: PrefectClient) -> None:
    """The global limit on trainers that use a GPU at once; one, until somebody raises it."""
    limit = GlobalConcurrencyLimitCreate(name="gpu", limit=1, active=True)
    try:
        await client.read_global_concurrency_limit_by_name("gpu")
    except ObjectNotFound:
        await client.create_global_concurrency_limit(limit)


async def schedules_of(
    client: PrefectClient, entry: dict[str, Any]
) -> list[DeploymentScheduleCreate]:
    """Those the deployment has, or had under an earlier name; and declared ones it has not.

    Setting up a deployment replaces its schedules, and with them what a person changed: the hour,
    the time zone, the switch, one that was added.
    """
    same = [each for each in await _deployed(client) if each.entrypoint == entry["entrypoint"]]
    same.sort(key=lambda each: (each.name != entry["name"], not each.schedules))
    kept = [
        DeploymentScheduleCreate(
            schedule=each.schedule,
            active=each.active,
            max_scheduled_runs=each.max_scheduled_runs,
            parameters=each.parameters,
            slug=each.slug,
        )
        for each in (same[0].schedules if same else [])
    ]
    slugs = {each.slug for each in kept}
    return kept + [
        DeploymentScheduleCreate(
            schedule=CronSchedule(cron=item["cron"], timezone=item["timezone"]),
            active=item["active"],
            slug=item["slug"],
        )
        for item in entry.get("schedules", [])
        if item["slug"] not in slugs
    ]


async def ensure_deployment(
    client: PrefectClient, entry: dict[str, Any], recipe: Recipe, recipe_name: str
) -> None:
    """Create or update one deployment; its schedules stay as they were left in the UI."""
    flow = flow_of(entry)
    schedules = await schedules_of(client, entry)
    limit = entry.get("concurrency_limit")
    await client.create_deployment(
        flow_id=await client.create_flow(flow),
        name=entry["name"],
        version=version(),
        description=entry.get("description") or flow.description,
        schedules=schedules,
        parameters=parameters(entry, recipe, recipe_name),
        parameter_openapi_schema=form(
            entry, recipe, list(dict.fromkeys([recipe_name, *found_recipes()]))
        ),
        enforce_parameter_schema=True,
        entrypoint=entry["entrypoint"],
        # Where the code lies; where a recipe's paths start is INGOT_ROOT, which workers inherit.
        path=str(CHECKOUT),
        pull_steps=[
            {"prefect.deployments.steps.set_working_directory": {"directory": str(CHECKOUT)}}
        ],
        work_pool_name=pool(entry, recipe),
        concurrency_limit=limit["limit"] if limit else None,
        concurrency_options=(
            {"collision_strategy": limit["collision_strategy"]} if limit else None
        ),
        tags=entry["tags"],
    )


async def _deployed(client: PrefectClient) -> list[DeploymentResponse]:
    """Deployments of this checkout that are there."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found: list[DeploymentResponse] = []
    while page := await client.read_deployments(deployment_filter=ours, offset=len(found)):
        found += page
    return [each for each in found if each.path == str(CHECKOUT)]


async def remove_undeclared(client: PrefectClient, entries: Sequence[dict[str, Any]]) -> list[str]:
    """Take away deployments of this checkout under names it no longer gives; their names.

    The copy of a stage's deployment that was made for another pool stays: it begins with its name.
    """
    names = tuple(entry["name"] for entry in entries)
    gone = [each for each in await _deployed(client) if not each.name.startswith(names)]
    for each in gone:
        await client.delete_deployment(each.id)
    return [each.name for each in gone]


async def ensure_automation(client: PrefectClient, recipe: Recipe) -> None:
    """A refresh that published a corpus starts `learn`; off until somebody switches it on."""
    deployment = await client.read_deployment_by_name(f"{_LEARN}/00-{_LEARN}")
    name = f"ingot: {recipe.name} learns from a corpus that has grown"
    wanted = AutomationCore(
        name=name,
        description="Made by `ingot up`, switched off. What is new may be too little: "
        "learn.new_tokens.",
        enabled=False,
        trigger=EventTrigger(
            match={"ingot.recipe": recipe.name, "ingot.flow": _REFRESH},
            expect={events.CORPUS},
            for_each={"prefect.resource.id"},
        ),
        actions=[RunDeployment(deployment_id=deployment.id)],
    )
    existing = await client.read_automations_by_name(name)
    if existing:
        # Prefect sends what was set; its server asks for defaults as well, and takes no owner.
        record = wanted.model_dump(exclude={"owner_resource"}) | {"enabled": existing[0].enabled}
        await client.update_automation(existing[0].id, AutomationCore.model_validate(record))
    else:
        await client.create_automation(wanted)


async def bootstrap(recipe_name: str) -> int:
    """Everything; returns how many deployments there are now."""
    recipe = load(recipe_name)
    entries = declared()
    async with get_client() as client:
        await ensure_pools(client)
        await ensure_limits(client)
        for entry in entries:
            await ensure_deployment(client, entry, recipe, recipe_name)
        await remove_undeclared(client, entries)
        await ensure_automation(client, recipe)
    return len(entries)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="quickstart")
    count = asyncio.run(bootstrap(parser.parse_args().recipe))
    print(f"{count} deployments, pools {', '.join(POOLS)}")


if __name__ == "__main__":
    main()
