"""Scheduled data refresh: look at the sources, and build only if something is new."""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.approval import APPROVE_ABOVE, ask
from flows.planning import DRY_RUN, RECIPE, planner
from flows.running import preview, run, shown_run
from tasks.engine.store.artifact import Artifact
from tasks.learning.challenge import training_stages
from tasks.panels.numbers import counted
from tasks.papers.papers import again
from tasks.recipe import load
from tasks.registry import STAGES


@flow(name="refresh")
def refresh(
    recipe: str = Field("quickstart", description=RECIPE),
    approve_above: str = Field("", description=APPROVE_ABOVE),
    dry_run: bool = Field(False, description=DRY_RUN),
) -> State[None]:
    """Pick up new and changed files of a recipe's sources; nothing new = the run ends early.

    Stages that ask a network (`Stage.looks_again`) are asked to list what there is anew: the plan
    cannot know. What they find unchanged is adopted, and if all is, no stage behind them runs.
    Of a recipe with a section `learn` the corpus alone is brought up to date: `learn` trains.
    What the recipe holds (`Recipe.hold`) stays as it is.
    """
    with shown_run() as overview:
        loaded = load(recipe)
        known, limit = loaded.configs, approve_above or loaded.approve_above
        for name in known:
            if STAGES[name].can_be_held and name not in loaded.hold:
                get_run_logger().info("%s is not held: it learns again from all there is", name)
        asking = [name for name, config in known.items() if STAGES[name].looks_again(config)]
        if asking and limit and not dry_run:  # what is there now decides what there is to approve
            run(planner(recipe, only=asking, force=asking), recipe)
            asking = []
        later = training_stages(loaded)
        only = [name for name in known if name not in later] if later else []
        plan = planner(recipe, only=only, force=asking)
        rows = preview(plan)
        if all(row.runs is False for row in rows):
            get_run_logger().info("nothing new: no stage would run")
            return Completed(name="NothingNew", message="no new data; every stage is up to date")
        if dry_run:
            return Completed(message=f"planned {counted(len(rows), 'stage')}; nothing was run")
        first = next(row for row in rows if row.runs is not False)
        get_run_logger().info("%s is %s: %s", first.stage, first.status, "; ".join(first.reasons))
        declined = ask(plan, rows, limit)
        if declined is not None:
            return declined
        done = run(plan, recipe, overview=overview)
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
