"""Stages as task runs: the one loop behind `build`, `refresh` and every stage's own flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect.deployments import run_deployment
from prefect.logging import get_run_logger
from prefect.states import State

from flows import publish
from tasks.engine.artifact import Artifact
from tasks.engine.build import steps
from tasks.engine.errors import IngotError
from tasks.engine.execute import Built, Order, published, sound
from tasks.engine.plan import Planner, Row
from tasks.runner import Reference, stage_task, ticket


@dataclass(frozen=True)
class Outcome:
    """How a stage came out.

    Attributes:
        state: the name Prefect shows: Completed, Cached.
    """

    stage: str
    state: str
    artifact: Artifact


def run(planner: Planner, here: bool = False) -> list[Outcome]:
    """Bring every selected stage up to date and publish its panels.

    Args:
        here: run in this process also what asks for a work pool, because this is that pool.

    Raises:
        IngotError: of the first stage that fails.
    """
    states: dict[str, str] = {}

    def through_prefect(order: Order, force: bool) -> Built:
        built, states[order.stage.name] = _as_task(order, planner, force, here)
        return built

    done = []
    for step in steps(planner, through_prefect):
        if step.built is None:
            continue
        outcome = Outcome(step.row.stage, states[step.row.stage], step.built.artifact)
        done.append(outcome)
        publish.panels(outcome.artifact, planner.chain.stages[outcome.stage])
    return done


def _as_task(order: Order, planner: Planner, force: bool, here: bool) -> tuple[Built, str]:
    name, store = order.stage.name, planner.store
    pool = order.config.pool
    if pool and not here:
        return _elsewhere(order, planner, force, pool), "Completed"
    # Prefect's own record is believed only if the store has the artifact, whole.
    present = sound(store, name, order.recipe_id) is not None
    task = stage_task(name).with_options(refresh_cache=force or not present)
    state: State[Any] = task(ticket(order, store, force).model_dump(mode="json"), return_state=True)
    told = Reference.model_validate(state.result())
    artifact = published(store, name, told.recipe_id, told.attempt)
    if artifact is None:
        raise IngotError(f"{name}: {told.manifest} vanished right after it was built; run again")
    label = state.name or "Completed"
    return Built(artifact, cached=label == "Cached"), label


def _elsewhere(order: Order, planner: Planner, force: bool, pool: str) -> Built:
    """Run the stage's own deployment on its pool and wait for it."""
    name = order.stage.name
    get_run_logger().info("%s runs on pool %s", name, pool)
    given = ticket(order, planner.store, force).model_dump(mode="json")
    flow_run = run_deployment(
        f"{name}/{name}",
        parameters={"recipe": planner.name, "config": given["config"], "force": force},
        work_queue_name=None,
        as_subflow=True,
    )
    assert flow_run.state is not None
    if not flow_run.state.is_completed():
        raise IngotError(f"{name} on pool {pool}: {flow_run.state.name} {flow_run.state.message}")
    artifact = sound(planner.store, name, order.recipe_id)
    if artifact is None:
        raise IngotError(
            f"{name} ran on pool {pool}, but its artifact is not in {planner.store.url}; workers "
            "of every pool must see one store (set INGOT_HOME to a shared folder or URL)"
        )
    return Built(artifact, cached=False)


def preview(planner: Planner) -> list[Row]:
    """The plan, published as the run's first artifact."""
    rows = planner.plan()
    publish.plan(rows)
    publish.lineage(planner.chain)
    return rows
