"""Stages as task runs: the one loop behind `build`, `refresh` and every stage's own flow."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prefect.logging import get_run_logger
from prefect.states import State

from flows import publish
from flows.elsewhere import run_elsewhere
from flows.patience import KeptLogs, give_up, patient
from flows.reaping import keep_lines, registered
from flows.watch import Watch, wait_while_started, watching
from tasks.best_effort import AWAY, unreachable
from tasks.engine.errors import IngotError
from tasks.engine.progress import Silent
from tasks.engine.run.build import steps
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.run.plan import Planner, Row
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published, sound
from tasks.machine import require_devices
from tasks.runner import Reference, Ticket, stage_task, ticket


@dataclass(frozen=True)
class Outcome:
    """How a stage came out.

    Attributes:
        state: the name Prefect shows: Completed, Cached.
    """

    stage: str
    state: str
    artifact: Artifact


@dataclass
class Told:
    """How far the last `run` of this process came.

    Attributes:
        complete: every selected stage is done.
        recorded: the server can be told how it ended.
    """

    complete: bool
    outcomes: list[Outcome]
    recorded: bool = True


# Where the server is away at the end, Prefect raises its own error in place of the flow's result.
LAST = Told(complete=False, outcomes=[])


def run(planner: Planner, recipe: str, here: bool = False) -> list[Outcome]:
    """Bring every selected stage up to date and publish its panels.

    Args:
        recipe: what the recipe was loaded by, for workers that must load it too.
        here: run in this process also what asks for a work pool, because this is that pool.

    Raises:
        IngotError: of the first stage that fails; a note on it names the stage.
    """
    states: dict[str, str] = {}

    def through_prefect(order: BuildRequest, force: bool) -> BuildResult:
        stage, pool = order.stage.name, order.config.pool
        try:
            if pool and not here and (force or not _present(order, planner)):
                built = run_elsewhere(_ticket(order, planner, force), pool, recipe)
                states[stage] = "Completed"
            else:
                built, states[stage] = _as_task(order, planner, force)
        except Exception as error:
            error.add_note(f"Stage {stage} failed. What was finished is kept: run again to go on.")
            raise
        return built

    told = Told(complete=False, outcomes=[])
    shown: list[Future[None]] = []
    # Panels are drawn and sent while the next stage is looked at: half the time of a run in which
    # all is fresh would be spent waiting for the server.
    with in_sight_of_the_server(told), ThreadPoolExecutor(1, "panels") as aside:
        for step in steps(planner, through_prefect):
            if step.built is None:
                continue
            outcome = Outcome(step.row.stage, states[step.row.stage], step.built.artifact)
            told.outcomes.append(outcome)
            here_and_now = contextvars.copy_context()  # Prefect's: which run it belongs to
            shown.append(aside.submit(here_and_now.run, publish.panels, outcome.artifact))
        told.complete = True
    for panels in shown:
        panels.result()
    return told.outcomes


@contextlib.contextmanager
def in_sight_of_the_server(told: Told) -> Iterator[None]:
    """The block goes on when the server goes away, and its end is recorded, now or later."""
    global LAST
    LAST = told

    def settle(wait: bool) -> bool:
        told.recorded = watch is None or watch.settle(wait)
        if KeptLogs.left_out:
            log.warning("%d log lines are not shown by the Prefect server", KeptLogs.left_out)
        if not told.recorded:
            keep_lines(give_up())
        publish.catch_up(told.recorded)
        return told.recorded

    log = get_run_logger()
    with looked_after() as watch, registered(settle):
        yield


@contextlib.contextmanager
def looked_after() -> Iterator[Watch | None]:
    """The server of the current flow is watched, its log tells what becomes of it and is kept."""
    log = get_run_logger()
    with watching(lambda line: log.warning("%s", line)) as watch, patient():
        yield watch


def _present(order: BuildRequest, planner: Planner) -> Artifact | None:
    return sound(planner.store, order.stage.name, order.build_id, order.config)


def _ticket(order: BuildRequest, planner: Planner, force: bool) -> Ticket:
    return ticket(order, planner.store, force, planner.selection.same_code)


def _as_task(order: BuildRequest, planner: Planner, force: bool) -> tuple[BuildResult, str]:
    name, store = order.stage.name, planner.store
    # Prefect's own record is believed only if the store has the artifact, whole.
    present = _present(order, planner)
    task = stage_task(name).with_options(refresh_cache=force or present is None)
    asked = _ticket(order, planner, force)
    wait_while_started()
    if AWAY.is_set():  # to try would only take time
        return _untold(order, planner, force, present)
    try:
        state: State[Any] = task(asked.model_dump(mode="json"), return_state=True)
        told = Reference.model_validate(state.result())
    except Exception as error:
        if not unreachable(error):
            raise
        return _untold(order, planner, force, present)
    label = state.name or "Completed"
    if label == "Cached" and present is not None:
        # Its record may name an earlier attempt than the one in force.
        return BuildResult(present, cached=True), label
    artifact = published(store, name, told.build_id, told.attempt)
    if artifact is None:
        raise IngotError(f"{name}: {told.manifest} vanished right after it was built; run again")
    return BuildResult(artifact, cached=label == "Cached"), label


def _untold(
    order: BuildRequest, planner: Planner, force: bool, before: Artifact | None
) -> tuple[BuildResult, str]:
    """A stage whose task the server could not be told of: what it made, else made without."""
    made = _present(order, planner)
    if made is not None and (before is None or made.folder != before.folder):
        return BuildResult(made, cached=False), "Completed"
    log = get_run_logger()
    log.warning("%s runs without being shown: the Prefect server is away", order.stage.name)
    built = execute(order, planner.store, Silent(), force, same_code=planner.selection.same_code)
    return built, "Cached" if built.cached else "Completed"


def preview(planner: Planner) -> list[Row]:
    """The plan, published as the run's first artifact.

    Raises:
        MissingDeviceError: this machine lacks what a stage that is to run here asks for.
    """
    rows = planner.plan()
    publish.plan(rows)
    publish.lineage(planner.chain, planner.store)
    require_devices(planner.configs, [row.stage for row in rows if row.runs is not False])
    return rows
