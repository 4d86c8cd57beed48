"""Scheduled data refresh: look at the sources, and build only if something is new."""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.planning import RECIPE, planner
from flows.running import preview, run, watch_server
from tasks.engine.store.artifact import Artifact
from tasks.papers.papers import again
from tasks.recipe import load
from tasks.registry import STAGES


@flow(name="refresh")
def refresh(
    recipe: str = Field("quickstart", description=RECIPE),
) -> State[None]:
    """Pick up new and changed files of a recipe's sources; nothing new = the run ends early.

    Stages that ask a network (`Stage.looks_again`) are asked to list what there is anew: the plan
    cannot know. What they find unchanged is adopted, and if all is, no stage behind them runs.
    What the recipe holds (`Recipe.hold`) stays as it is.
    """
    with watch_server():
        loaded = load(recipe)
        known = loaded.configs
        for name in known:
            if STAGES[name].can_be_held and name not in loaded.hold:
                get_run_logger().info("%s is not held: it learns again from all there is", name)
        asking = [name for name, config in known.items() if STAGES[name].looks_again(config)]
        plan = planner(recipe, force=asking)
        rows = preview(plan)
        if all(row.runs is False for row in rows):
            get_run_logger().info("nothing new: no stage would run")
            return Completed(name="NothingNew", message="no new data; every stage is up to date")
        first = next(row for row in rows if row.runs is not False)
        get_run_logger().info("%s is %s: %s", first.stage, first.status, "; ".join(first.reasons))
        done = run(plan, recipe)
        publish.funnel([outcome.artifact for outcome in done])
        publish.papers(again(plan.store, plan.name))
    ran = [outcome.stage for outcome in done if outcome.state != "Cached"]
    before = {row.stage: row.artifact for row in rows}
    if all(_same(before[outcome.stage], outcome.artifact) for outcome in done):
        return Completed(name="NothingNew", message="asked, and found what is there already")
    return Completed(message=f"ran {', '.join(ran) or 'nothing'}")


def _same(before: Artifact | None, after: Artifact) -> bool:
    """Whether every output has the bytes it had."""
    ids = [
        {name: output.data_id for name, output in artifact.manifest.outputs.items()}
        for artifact in (before, after)
        if artifact is not None
    ]
    return len(ids) == 2 and ids[0] == ids[1]
