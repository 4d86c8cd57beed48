"""A build watched from a terminal: a bar for the stage that runs, log lines above it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from prefect.logging.configuration import ensure_logging_setup
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.theme import Theme

from flows import running
from flows.build import PLANNED, build
from flows.faults import explains_itself
from flows.home import open_store
from flows.running import Outcome
from flows.server import ServerError, print_error
from flows.server_retry import retry_logs
from flows.server_watch import ServerWatch, watching
from tasks.best_effort import unreachable
from tasks.engine.errors import IngotError
from tasks.engine.progress import Figure
from tasks.engine.run.plan import Planner
from tasks.engine.store.published import published
from tasks.panels.live_curve import LiveCurve
from tasks.progress_line import figures_text
from tasks.runner import PrefectListener, other_settings

_HEARTBEAT = ("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "PREFECT_RUNNER_HEARTBEAT_FREQUENCY")


class OneMessage(logging.Filter):
    """Keeps errors that explain themselves off the console: the command prints them at its end.

    Prefect logs each of them up to four times, with tracebacks. Its UI still gets all of that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and (explains_itself(error) or unreachable(error)):
            self._seen.add(str(error) or type(error).__name__)
            return False
        message = record.getMessage()
        return not any(text in message for text in self._seen)


def console_handlers() -> list[PrefectConsoleHandler]:
    """Prefect's handlers for the terminal, made if they are not there yet."""
    ensure_logging_setup()
    return [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, PrefectConsoleHandler)
    ]


class LateWork(logging.Filter):
    """Keeps back the first word of Prefect that events wait to be sent as the process ends.

    Some always do. It says so again every four seconds, and then it is worth knowing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first = True

    def filter(self, record: logging.LogRecord) -> bool:
        if not self._first or not record.getMessage().startswith("Still processing items"):
            return True
        self._first = False
        return False


class Bar:
    """One bar a stage, below Prefect's log lines; silent where standard error is no terminal."""

    def __init__(self) -> None:
        self._handlers = console_handlers()
        self._filter = OneMessage()
        # The console that log lines go through: only it can print them above a live bar.
        console = self._handlers[0].console if self._handlers else Console(stderr=True)
        console.push_theme(Theme())
        self._progress = Progress(
            TextColumn("{task.description:>13}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self._curve = LiveCurve()
        self._stage, self._task = "", self._progress.add_task("", visible=False, figures="")

    def __enter__(self) -> Bar:
        for handler in self._handlers:
            handler.addFilter(self._filter)
        if sys.stderr.isatty():
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        for handler in self._handlers:
            handler.removeFilter(self._filter)

    def log(self, stage: str, message: str) -> None:
        return  # Prefect's console handler prints it

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        if stage != self._stage:
            self._stage, self._curve = stage, LiveCurve()
            self._progress.reset(self._task, description=stage)
        self._curve.add(done, figures)
        self._progress.update(
            self._task,
            completed=done,
            total=total,
            figures=f"{self._curve.line()} {figures_text(figures)}".strip(),
            visible=done < total,
        )

    def cancelled(self) -> bool:
        return False


def _run_flow(call: Callable[[], Any], watch: ServerWatch | None) -> Any:
    """What the flow returns; tried once more where the server went away before it began.

    Raises:
        ServerError: it is still away.
    """
    tried = False
    while True:
        before = running.LAST_RUN
        try:
            return call()
        except Exception as error:
            if watch is None or running.LAST_RUN is not before or not unreachable(error):
                raise
            if tried or not watch.wait_until_answering():
                raise ServerError(
                    f"the Prefect server at {watch.process} did not answer when the run was to be "
                    "recorded, so nothing was run. Run again; if it still does not answer, "
                    "`ingot down` stops it and the next run starts another"
                ) from error
            tried = True


@contextlib.contextmanager
def _without_heartbeat() -> Iterator[None]:
    """No events that say that the run lives, unless they are asked for.

    They tell the runs of dead processes, which `flows.crashed_runs` finds by process; Prefect would
    wait up to a second at the end for the thread that sends them.
    """
    if any(name in os.environ for name in _HEARTBEAT):
        yield
        return
    with other_settings("flows", heartbeat_frequency=None):
        yield


def run_watched(call: Callable[[], Any]) -> Any:
    """Call a flow in this process, with a bar for the stage that runs.

    Returns:
        What the flow returns; `None` where it did all there was to do and its end could not be
        recorded, see `running.LAST_RUN`.

    Raises:
        IngotError: the error of the stage that failed.
    """
    for worker in ("EventsWorker", "APILogWorker", "RetryingLogWorker"):
        logging.getLogger(worker).addFilter(LateWork())
    # Begun here: Prefect asks the server for the run before anything of ours is called.
    with Bar() as bar, watching(print_error, "the run waits for it") as watch, retry_logs():
        PrefectListener.watchers.append(bar)
        try:
            with _without_heartbeat():
                return _run_flow(call, watch)
        except Exception as error:
            if running.LAST_RUN.recorded or not running.LAST_RUN.complete:
                raise
            # Prefect could not record the end, and says so in place of the flow's result.
            logging.getLogger(__name__).debug("not recorded: %s", error)
            return None
        finally:
            PrefectListener.watchers.remove(bar)


def run_build(
    selection: tuple[str, list[str], list[str], list[str], list[str]], planned: Planner
) -> list[Outcome]:
    """Run the `build` flow in this process.

    Args:
        planned: of what is asked for, its plan made.

    Raises:
        IngotError: the error of the stage that failed.
    """
    names = ("recipe", "changes", "only", "from_", "force")
    arguments: dict[str, Any] = dict(zip(names, selection, strict=True))
    mark = PLANNED.set(planned)
    try:
        results: Any = run_watched(lambda: build(**arguments))
    finally:
        PLANNED.reset(mark)
    if results is None:
        return running.LAST_RUN.outcomes
    store, outcomes = open_store(), []
    for result in results:
        artifact = published(store, result["stage"], result["build_id"], result["attempt"])
        if artifact is None:
            raise IngotError(f"{result['stage']}: its artifact vanished after the run")
        outcomes.append(Outcome(result["stage"], result["state"], artifact))
    return outcomes
