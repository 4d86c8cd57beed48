"""One flow per stage, generated from the registry, so each has a form of its own in the UI.

`flows/stages.py:dedup` is the entrypoint of the deployment `dedup/dedup`.
"""

from __future__ import annotations

import inspect
from typing import Any

from prefect import Flow
from prefect.states import Completed, State

from flows.home import open_store
from flows.planning import planner_for
from flows.running import run
from tasks.engine.stage import Stage
from tasks.recipe import load
from tasks.registry import STAGES


def _run_alone(stage: str, recipe: str, config: Any, force: bool) -> State[None]:
    loaded = load(recipe)
    configs = {} if config is None else {stage: config}
    only, forced = [stage], [stage] if force else []
    planner = planner_for(loaded, open_store(), only, (), forced, configs)
    (outcome,) = run(planner, here=True)
    totals = outcome.artifact.manifest.totals
    message = f"{outcome.state}: {totals.rows_in:,} {totals.unit}s in, {totals.kept:,} kept"
    return Completed(name=outcome.state, message=message)


def stage_flow(stage: Stage) -> Flow[..., State[None]]:
    """A flow that runs one stage on what its inputs were last built to."""

    def body(**parameters: Any) -> State[None]:
        return _run_alone(stage.name, **parameters)

    body.__name__ = stage.name
    body.__doc__ = (
        f"{stage.description}\n\nRuns this stage alone; its inputs are the latest artifacts of "
        "the recipe. Leave `config` empty to use the recipe's own."
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("recipe", kind, default="quickstart", annotation=str),
            inspect.Parameter("config", kind, default=None, annotation=stage.config | None),
            inspect.Parameter("force", kind, default=False, annotation=bool),
        ]
    )
    return Flow(fn=body, name=stage.name)


globals().update({name: stage_flow(stage) for name, stage in STAGES.items()})
