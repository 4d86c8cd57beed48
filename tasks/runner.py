"""A stage as a Prefect task: cached by build id, watched, cancellable.

The only file outside `flows/` that imports Prefect. What crosses into a task is a `TaskRequest`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from prefect import Task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.blocks.system import Secret
from prefect.cache_policies import CachePolicy
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.context import SettingsContext, TaskRunContext, get_settings_context
from prefect.logging import get_run_logger
from prefect.runtime import flow_run, task_run
from prefect.states import Completed

from tasks.best_effort import LatestCall, unreachable
from tasks.engine.errors import IngotError
from tasks.engine.progress import Figure, Listener
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.published import sound
from tasks.engine.store.store import Store
from tasks.panels.live_curve import LiveCurves
from tasks.progress_line import figures_text
from tasks.registry import STAGES
from tasks.task_request import TaskRequest, build_request, reference

_EVERY_SECONDS, _CURVE_SECONDS = 3.0, 30.0


@dataclass
class RecipePolicy(CachePolicy):
    """The cache key of a stage's task is the build id, nothing else."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        values: Mapping[str, Any] = inputs["values"]
        return f"{values['stage']}-{values['build_id'][:32]}"


@contextlib.contextmanager
def other_settings(group: str, **values: object) -> Iterator[None]:
    """Within it, settings of one of Prefect's groups have other values.

    Prefect's own `temporary_settings` reads environment and files anew for all of them: 50 ms, for
    each of two dozen things a run shows.
    """
    present = get_settings_context()
    changed = getattr(present.settings, group).model_copy(update=values)
    settings = present.settings.model_copy(update={group: changed})
    with SettingsContext(profile=present.profile, settings=settings):
        yield


class PrefectListener:
    """Log lines, one progress artifact a stage, and one with the curves of its loss and of tasks;
    throttled, as each update is a server row."""

    # Others in this process who want to hear the same (a bar on the terminal).
    watchers: ClassVar[list[Listener]] = []

    def __init__(self) -> None:
        self._logger = get_run_logger()
        self._server = LatestCall()
        self._artifact: Any = None
        self._curves, self._drawn = LiveCurves(), time.monotonic()
        self._chart: Any = None
        self._last = 0.0
        self._logged = 0.0
        self._ended: tuple[int, str] | None = None

    def log(self, stage: str, message: str) -> None:
        self._logger.info("%s: %s", stage, message)

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        for watcher in self.watchers:
            watcher.progress(stage, done, total, unit, figures)
        now = time.monotonic()
        self._curves.add(done, figures)
        if done < total:
            if done:
                self._ended = None
            if now - self._last < _EVERY_SECONDS:
                return
        elif self._ended == (total, unit):
            return  # stages may report their end more than once; it is told once
        else:
            self._ended = (total, unit)
        self._last = now
        share = 100.0 * done / max(total, 1)
        text = figures_text(figures)
        description = f"{done:,}/{total:,} {unit}s" + (f" ({text})" if text else "")
        chart = ""
        if now - self._drawn > _CURVE_SECONDS or done >= total:
            chart = self._curves.chart(unit)
        self._server.submit(lambda: self._show(stage, share, description, chart))
        if now - self._logged > 10 * _EVERY_SECONDS or done >= total:
            self._logged = now
            self._logger.info("%s: %s", stage, description)

    def _show(self, stage: str, share: float, description: str, chart: str) -> None:
        # Not once more and again: the next figures are a better second try.
        with other_settings("client", max_retries=0):
            if self._artifact is None:
                self._artifact = create_progress_artifact(
                    progress=share, key=f"progress-{stage}", description=description
                )
            else:
                update_progress_artifact(self._artifact, progress=share, description=description)
            if chart:
                self._draw(stage, chart)

    def _draw(self, stage: str, chart: str) -> None:
        self._drawn = time.monotonic()
        if self._chart is None:
            self._chart = create_markdown_artifact(
                key=f"curve-{stage}",
                markdown=chart,
                description="Loss, and shares of tasks, as it goes",
            )
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._chart, ArtifactUpdate(data=chart))

    def close(self) -> None:
        """The stage has ended: the last figures are sent, no more will come."""
        self._server.close()

    def cancelled(self) -> bool:
        """Prefect cancels by a signal, which arrives as an exception in this very thread."""
        return False


def has_gpu() -> bool:
    """Whether this machine shows a GPU; asked without importing torch."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))


@contextlib.contextmanager
def gpu_slot(request: BuildRequest, store: Store, force: bool) -> Iterator[None]:
    """A slot of the global limit `gpu` for a stage that is about to use one, else nothing.

    So the runs of one server never train on a GPU at once, whichever pool they are on; a server
    without that limit (`ingot up` creates it), or one that is away, sets no such limit.
    """
    wanted = getattr(request.config, "device", "cpu") != "cpu" and has_gpu()
    served = not force and sound(store, request.stage.name, request.build_id, request.config)
    with contextlib.ExitStack() as slot:
        if wanted and not served:
            _warn_if_unreachable(
                lambda: slot.enter_context(
                    concurrency("gpu", occupy=1, raise_on_lease_renewal_failure=False)
                ),
                "the Prefect server cannot hand out the GPU slot; training without it",
            )
        yield
        _warn_if_unreachable(slot.close, "the GPU slot is released by itself in five minutes")


class SecretBlockError(IngotError):
    """A Secret block that a config names cannot be read; says which, and the way out."""


@contextlib.contextmanager
def key_from_block(request: BuildRequest, store: Store, force: bool) -> Iterator[None]:
    """The key that a config names by a Prefect Secret block (`key_block`), in the variable of the
    environment that the stage reads it from (`key_variable`), as long as the stage runs.

    Read on the machine that runs it: it is no parameter of a run, and in none's record.

    Raises:
        SecretBlockError: there is no such block, or no server to ask.
    """
    block = getattr(request.config, "key_block", "")
    if not block or (
        not force and sound(store, request.stage.name, request.build_id, request.config)
    ):
        yield
        return
    variable: str = getattr(request.config, "key_variable")  # noqa: B009 - of that stage's config
    field = f"{request.stage.name}.key_block"
    try:
        value = str(Secret.load(block).get())  # type: ignore[union-attr]
    except ValueError as error:
        raise SecretBlockError(
            f"{field}: the Prefect server has no Secret block {block!r}; make one of that name "
            f"(Blocks, Secret), or leave {field} empty and set the variable {variable}"
        ) from error
    except Exception as error:
        if not unreachable(error):
            raise
        raise SecretBlockError(
            f"{field}: no Prefect server answers that could hold {block!r}; start it, or leave "
            f"{field} empty and set the variable {variable}"
        ) from error
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _warn_if_unreachable(call: Callable[[], None], warning: str) -> None:
    try:
        call()
    except Exception as error:
        if not unreachable(error):
            raise
        get_run_logger().warning("%s", warning)


def _run(values: dict[str, Any]) -> dict[str, Any] | State[dict[str, Any]]:
    plain = TaskRequest.model_validate(values)
    store = Store(plain.home)
    ids = {"flow_run_id": str(flow_run.id or ""), "task_run_id": str(task_run.id or "")}
    request, listener = build_request(plain, store), PrefectListener()
    try:
        with gpu_slot(request, store, plain.force), key_from_block(request, store, plain.force):
            built = execute(request, store, listener, plain.force, ids, same_code=plain.same_code)
    finally:
        listener.close()
    result = reference(built.artifact).model_dump()
    if built.cached:
        # The store had it though Prefect's own record did not: say so where people look.
        return Completed(name="Cached", message="already in the store", data=result)
    return result


def stage_task(stage: str) -> Task[..., Any]:
    """The Prefect task that brings one stage up to date; takes a dumped `TaskRequest`."""
    return Task(
        fn=_run,
        name=stage,
        task_run_name=stage,
        description=STAGES[stage].description,
        cache_policy=RecipePolicy(),
        persist_result=True,
        result_serializer="json",
        # No tags: of a task that has one Prefect asks the server for a turn before it starts, and
        # SQLite refuses that while anything else is written; the next try is seconds later.
    )
