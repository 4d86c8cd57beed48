"""The whole chain, as far as a recipe goes: plan, then every stage that is not fresh."""

from __future__ import annotations

from contextvars import ContextVar

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.planning import DRY_RUN, RECIPE, SAVE_AS, StageName, keep_changes, planner
from flows.recipe_choice import offer_one_more
from flows.running import preview, run, shown_run
from tasks.engine.run.plan import Planner
from tasks.panels.numbers import counted

# The planner of a run that its caller, in this process, has planned already.
PLANNED: ContextVar[Planner | None] = ContextVar("planned", default=None)


@flow(name="build")
def build(
    recipe: str = Field("quickstart", description=RECIPE),
    changes: list[str] = Field(
        [],
        description="Fields to change for this run, one an entry: stage.field=value, such as "
        "dedup.threshold=0.7.",
    ),
    only: list[StageName] = Field(
        [], description="Run only these stages, on the latest artifacts of the stages they read."
    ),
    from_: list[StageName] = Field(
        [],
        description="Run these stages and all that depend on them, and no others.",
        json_schema_extra={"title": "from"},  # as on the command line, a keyword though it is
    ),
    force: list[StageName] = Field(
        [],
        description="Rebuild these stages even if they are fresh, as a new attempt.",
    ),
    dry_run: bool = Field(False, description=DRY_RUN),
    save_as: str = Field("", description=SAVE_AS),
) -> State[list[dict[str, str]]]:
    """Bring every stage of a recipe up to date; what is fresh is served from the store."""
    with shown_run() as overview:
        plan = PLANNED.get()
        if plan is None and save_as:
            recipe, changes = keep_changes(recipe, changes, save_as), []
            offer_one_more(recipe)
        plan = plan or planner(recipe, changes, only, from_, force)
        rows = preview(plan)
        if dry_run:
            return Completed(
                message=f"planned {counted(len(rows), 'stage')}; nothing was run", data=[]
            )
        done = run(plan, recipe, overview=overview)
        publish.funnel([outcome.artifact for outcome in done])
    ran = [outcome.stage for outcome in done if outcome.state != "Cached"]
    get_run_logger().info("ran %s; %d cached", ", ".join(ran) or "nothing", len(done) - len(ran))
    return Completed(
        message=f"{counted(len(ran), 'stage')} ran, {len(done) - len(ran)} cached",
        data=[
            {
                "stage": outcome.stage,
                "state": outcome.state,
                "build_id": outcome.artifact.manifest.build_id,
                "attempt": outcome.artifact.manifest.attempt,
            }
            for outcome in done
        ],
    )
