"""Stages as task runs: the one loop behind `build`, `refresh` and every stage's own flow."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prefect.logging import get_run_logger
from prefect.states import State

from flows import events, publish
from flows.crashed_runs import keep_log_lines, run_record
from flows.other_pool import run_on_pool
from flows.overview import Overview
from flows.server_retry import RetryingLogWorker, retry_logs, stop_retrying
from flows.server_watch import ServerWatch, wait_while_started, watching
from tasks import forecasting
from tasks.best_effort import SERVER_AWAY, unreachable
from tasks.engine.errors import IngotError
from tasks.engine.progress import NullListener
from tasks.engine.run.build import steps
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.run.plan import Planner, Row
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published, sound
from tasks.engine.store.store import Store
from tasks.machine import require_devices
from tasks.runner import stage_task
from tasks.task_request import ArtifactReference, as_task_request


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
class RunProgress:
    """How far the last `run` of this process came.

    Attributes:
        complete: every selected stage is done.
        recorded: the server can be told how it ended.
    """

    complete: bool
    outcomes: list[Outcome]
    recorded: bool = True


# Where the server is away at the end, Prefect raises its own error in place of the flow's result.
LAST_RUN = RunProgress(complete=False, outcomes=[])


def run(
    planner: Planner,
    recipe: str,
    here: bool = False,
    overview: Overview | None = None,
    before: Sequence[Outcome] = (),
) -> list[Outcome]:
    """Bring every selected stage up to date and publish its panels.

    Args:
        recipe: what the recipe was loaded by, for workers that must load it too.
        here: run in this process also what asks for a work pool, because this is that pool.
        overview: is told how the stages come out, and shown anew whenever one was built.
        before: what the same flow run has built and shown already: it stays as it was shown.

    Raises:
        IngotError: of the first stage that fails; a note on it names the stage.
    """
    states: dict[str, str] = {}

    def through_prefect(request: BuildRequest, force: bool) -> BuildResult:
        stage, pool = request.stage.name, request.config.pool
        try:
            if pool and not here and (force or not _present(request, planner.store)):
                asked = as_task_request(request, planner.store, force, planner.selection.same_code)
                built = run_on_pool(asked, pool, recipe)
                states[stage] = "Completed"
            else:
                built, states[stage] = _as_task(
                    request, planner.store, planner.selection.same_code, force
                )
        except Exception as error:
            if overview is not None:
                overview.failed = stage
            error.add_note(f"Stage {stage} failed. Finished work is kept: run again to continue.")
            raise
        return built

    if overview is not None:
        overview.rows = planner.plan()
    progress = RunProgress(complete=False, outcomes=[])
    known = {outcome.artifact.folder for outcome in before}
    shown: list[Future[None]] = []
    # Panels are drawn and sent while the next stage is looked at: half the time of a run in which
    # all is fresh would be spent waiting for the server.
    with tolerate_outage(progress), ThreadPoolExecutor(1, "panels") as aside:
        for step in steps(planner, through_prefect):
            if step.built is None:
                continue
            state = states.get(step.row.stage, "Cached")  # what is held is no task
            outcome = Outcome(step.row.stage, state, step.built.artifact)
            progress.outcomes.append(outcome)
            here_and_now = contextvars.copy_context()  # Prefect's: which run it belongs to
            if outcome.artifact.folder in known:
                continue
            shown.append(aside.submit(here_and_now.run, publish.panels, outcome.artifact))
            if overview is not None:
                overview.done[outcome.stage] = (outcome.state, outcome.artifact)
            if outcome.state != "Cached":
                before = step.row.artifact
                events.published(planner.name, outcome.artifact, before)
                if before is not None and before.folder != outcome.artifact.folder:
                    shown.append(
                        aside.submit(here_and_now.run, publish.change, before, outcome.artifact)
                    )
                if overview is not None:
                    shown.append(aside.submit(here_and_now.run, publish.overview, overview))
        progress.complete = True
    for panels in shown:
        panels.result()
    return progress.outcomes


def build_apart(requests: Iterable[BuildRequest], planner: Planner) -> list[Outcome]:
    """Build what is asked for as task runs, in this process; no pointer of a recipe moves to it.

    Raises:
        IngotError: of the first stage that fails.
    """
    progress = RunProgress(complete=False, outcomes=[])
    with tolerate_outage(progress):
        for request in requests:
            same_code = planner.selection.same_code
            built, state = _as_task(request, planner.store, same_code, force=False)
            progress.outcomes.append(Outcome(request.stage.name, state, built.artifact))
        progress.complete = True
    return progress.outcomes


def built_alone(request: BuildRequest, store: Store) -> Artifact:
    """Build what is of no recipe as a task run, in this process.

    Raises:
        IngotError: it failed.
    """
    progress = RunProgress(complete=False, outcomes=[])
    with tolerate_outage(progress):
        built, _ = _as_task(request, store, same_code=False, force=False)
        progress.complete = True
    return built.artifact


@contextlib.contextmanager
def tolerate_outage(progress: RunProgress) -> Iterator[None]:
    """The block goes on when the server goes away, and its end is recorded, now or later."""
    global LAST_RUN
    LAST_RUN = progress

    def settle(wait: bool) -> bool:
        progress.recorded = watch is None or watch.wait_until_answering(wait)
        if RetryingLogWorker.left_out:
            log.warning(
                "%d log lines are not shown by the Prefect server",
                RetryingLogWorker.left_out,
            )
        if not progress.recorded:
            keep_log_lines(stop_retrying())
        publish.catch_up(progress.recorded)
        return progress.recorded

    log = get_run_logger()
    with watch_server() as watch, run_record(settle):
        yield


@contextlib.contextmanager
def watch_server() -> Iterator[ServerWatch | None]:
    """Watch the server of the current flow; keep the log lines it cannot take."""
    log = get_run_logger()
    with watching(lambda line: log.warning("%s", line)) as watch, retry_logs():
        yield watch


@contextlib.contextmanager
def shown_run() -> Iterator[Overview]:
    """The body of a flow: what goes wrong in it is shown, and at its end the overview, if it is
    one of stages."""
    overview = Overview()
    with watch_server():
        try:
            yield overview
        except Exception as error:
            publish.failure(error)
            raise
        finally:
            if overview.rows:
                publish.overview(overview)


def _present(request: BuildRequest, store: Store) -> Artifact | None:
    return sound(store, request.stage.name, request.build_id, request.config)


def _as_task(
    request: BuildRequest, store: Store, same_code: bool, force: bool
) -> tuple[BuildResult, str]:
    name = request.stage.name
    # Prefect's own record is believed only if the store has the artifact, whole.
    present = _present(request, store)
    task = stage_task(name).with_options(refresh_cache=force or present is None)
    task_request = as_task_request(request, store, force, same_code)
    wait_while_started()
    if SERVER_AWAY.is_set():  # to try would only take time
        return _run_unrecorded(request, store, same_code, force, present)
    try:
        state: State[Any] = task(task_request.model_dump(mode="json"), return_state=True)
        result = ArtifactReference.model_validate(state.result())
    except Exception as error:
        if not unreachable(error):
            raise
        return _run_unrecorded(request, store, same_code, force, present)
    label = state.name or "Completed"
    if label == "Cached" and present is not None:
        # Its record may name an earlier attempt than the one in force.
        return BuildResult(present, cached=True), label
    artifact = published(store, name, result.build_id, result.attempt)
    if artifact is None:
        raise IngotError(f"{name}: {result.manifest} vanished right after it was built; run again")
    return BuildResult(artifact, cached=label == "Cached"), label


def _run_unrecorded(
    request: BuildRequest, store: Store, same_code: bool, force: bool, before: Artifact | None
) -> tuple[BuildResult, str]:
    """A stage whose task the server has no record of: what it made, else built without one."""
    made = _present(request, store)
    if made is not None and (before is None or made.folder != before.folder):
        return BuildResult(made, cached=False), "Completed"
    log = get_run_logger()
    log.warning("%s runs without being shown: the Prefect server is away", request.stage.name)
    built = execute(request, store, NullListener(), force, same_code=same_code)
    return built, "Cached" if built.cached else "Completed"


def preview(planner: Planner) -> list[Row]:
    """The plan, published as the run's first artifact.

    Raises:
        MissingDeviceError: this machine lacks what a stage that is to run here asks for.
    """
    rows = planner.plan()
    publish.plan(rows)
    found = forecasting.of_plan(planner, rows)
    if found is not None:
        publish.forecast(found)
    publish.lineage(planner.chain, planner.store)
    require_devices(planner.configs, [row.stage for row in rows if row.runs is not False])
    return rows
