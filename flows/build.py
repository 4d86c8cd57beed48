"""The whole chain, as far as a recipe goes: plan, then every stage that is not fresh."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.planning import RecipeName, StageName, planner
from flows.running import preview, run


@flow(name="build")
def build(
    recipe: RecipeName = "quickstart",
    changes: Annotated[
        list[str], Field(description="Fields to change: stage.field=value, one an entry.")
    ] = [],  # noqa: B006 - Prefect reads the defaults for the form, nobody writes them
    only: Annotated[
        list[StageName], Field(description="Run these stages alone, on what was last built.")
    ] = [],  # noqa: B006
    start: Annotated[
        list[StageName], Field(description="Run these stages and all that depend on them.")
    ] = [],  # noqa: B006
    force: Annotated[
        list[StageName], Field(description="Make these anew although they are fresh.")
    ] = [],  # noqa: B006
    dry_run: Annotated[bool, Field(description="Publish the plan and stop.")] = False,
) -> State[list[dict[str, str]]]:
    """Bring every stage of a recipe up to date; what is fresh is served from the store."""
    asked = (recipe, changes, only, start, force)
    rows = preview(planner(*asked))
    if dry_run:
        return Completed(message=f"planned {len(rows)} stages; nothing was run", data=[])
    done = run(planner(*asked), recipe)
    publish.funnel([outcome.artifact for outcome in done])
    ran = [outcome.stage for outcome in done if outcome.state != "Cached"]
    get_run_logger().info("ran %s; %d cached", ", ".join(ran) or "nothing", len(done) - len(ran))
    return Completed(
        message=f"{len(ran)} stages ran, {len(done) - len(ran)} cached",
        data=[
            {
                "stage": outcome.stage,
                "state": outcome.state,
                "recipe_id": outcome.artifact.manifest.recipe_id,
                "attempt": outcome.artifact.manifest.attempt,
            }
            for outcome in done
        ],
    )
