"""Running the stages of a recipe in order, without an orchestrator.

`flows/running.py` does the same with each stage as a Prefect task; both ask the
same planner, stage by stage, because a stage's identity is known only once its
inputs exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tasks.engine.progress import Listener, NullListener
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.run.plan import Planner, Row, Status
from tasks.engine.store import channels

Runner = Callable[[BuildRequest, bool], BuildResult]


@dataclass(frozen=True)
class Step:
    """One stage, done."""

    row: Row
    built: BuildResult | None


def steps(planner: Planner, run: Runner) -> Iterator[Step]:
    """Bring every selected stage up to date, in order.

    Args:
        planner: its `plan` may have been asked for, and is then not made again.
        run: builds one request; told whether it must make a new attempt.
    """
    chosen = planner.selection.stages(planner.chain)
    for stage in planner.chain.stages:
        row = planner.row_in_run(stage)
        if stage not in chosen:
            yield Step(row, None)
            continue
        if row.served and row.artifact is not None:
            yield Step(row, BuildResult(row.artifact, cached=True))
            continue
        request = planner.request(stage)
        force = row.status is Status.FORCED or (row.status is Status.DRIFT and bool(row.runs))
        built = run(request, force)
        planner.artifacts[stage] = built.artifact
        channels.point(
            planner.store, planner.name, built.artifact, changed=planner.changed.get(stage, {})
        )
        yield Step(row, built)


def build(planner: Planner, listener: Listener | None = None) -> dict[str, BuildResult]:
    """Run in this process, without a server."""
    listener = listener or NullListener()
    same_code = planner.selection.same_code

    def run(request: BuildRequest, force: bool) -> BuildResult:
        return execute(request, planner.store, listener, force, same_code=same_code)

    done = {}
    for step in steps(planner, run):
        if step.built is not None:
            done[step.row.stage] = step.built
    return done
