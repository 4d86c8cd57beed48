"""Scheduled data refresh: look at the sources, and build only if something is new."""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.planning import RECIPE, planner
from flows.running import preview, run, watch_server


@flow(name="refresh")
def refresh(
    recipe: str = Field("quickstart", description=RECIPE),
) -> State[None]:
    """Pick up new and changed files of a recipe's sources; nothing new = the run ends early."""
    with watch_server():
        plan = planner(recipe)
        rows = preview(plan)
        if all(row.runs is False for row in rows):
            get_run_logger().info("nothing new: no stage would run")
            return Completed(name="NothingNew", message="no new data; every stage is up to date")
        first = next(row for row in rows if row.runs is not False)
        get_run_logger().info("%s is %s: %s", first.stage, first.status, "; ".join(first.reasons))
        done = run(plan, recipe)
        publish.funnel([outcome.artifact for outcome in done])
    ran = [outcome.stage for outcome in done if outcome.state != "Cached"]
    return Completed(message=f"ran {', '.join(ran) or 'nothing'}")
