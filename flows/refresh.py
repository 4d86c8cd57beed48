"""Scheduled data refresh: look at the sources, and build only if something is new."""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State

from flows import publish
from flows.planning import RecipeName, planner
from flows.running import preview, run
from tasks.engine.plan import Status


@flow(name="refresh")
def refresh(
    recipe: RecipeName = "quickstart",
) -> State[None]:
    """Pick up new and changed files of a recipe's sources; nothing new = the run ends early."""
    rows = {row.stage: row for row in preview(planner(recipe))}
    source = rows["source"]
    if all(row.status is Status.FRESH for row in rows.values()):
        get_run_logger().info("nothing new: every stage is fresh")
        return Completed(name="NothingNew", message="no new data; every stage is fresh")
    get_run_logger().info("source is %s: %s", source.status, "; ".join(source.reasons) or "-")
    done = run(planner(recipe), recipe)
    publish.funnel([outcome.artifact for outcome in done])
    ran = [outcome.stage for outcome in done if outcome.state != "Cached"]
    return Completed(message=f"ran {', '.join(ran) or 'nothing'}")
