"""One flow per stage, generated from the registry, so each has a form of its own in the UI.

`flows/stages.py:dedup` is the entrypoint of the deployment `dedup/08-dedup`.
"""

from __future__ import annotations

import inspect
from typing import Any

from prefect import Flow
from prefect.states import Completed, State
from pydantic import Field

from flows.filled_forms import wanted
from flows.home import open_store
from flows.planning import DRY_RUN, RECIPE, SAVE_AS, keep, planner_for
from flows.recipe_choice import offer_one_more
from flows.running import preview, run, shown_run
from tasks.engine.stage.stage import Stage
from tasks.recipe import load
from tasks.recipe_saving import changed_fields
from tasks.registry import STAGES

_CONFIG = "Config of this stage; fields left as they are come from the recipe."
_FORCE = "Build it again even if it is fresh."


def _run_alone(
    stage: str,
    recipe: str,
    config: Any,
    inputs: list[str],
    force: bool,
    dry_run: bool,
    save_as: str,
) -> State[None]:
    with shown_run() as overview:
        loaded = load(recipe)
        configs = {} if config is None else {stage: wanted(config, loaded.configs.get(stage))}
        changed = changed_fields(loaded, configs)
        if save_as:
            recipe = keep(recipe, loaded.name, changed, save_as)
            loaded, configs, changed = load(recipe), {}, {}
            offer_one_more(recipe)
        forced = [stage] if force else []
        plan = planner_for(
            loaded, recipe, open_store(), [stage], (), forced, configs, inputs, changed
        )
        preview(plan)
        if dry_run:
            return Completed(message=f"{stage}: planned; nothing was run")
        (outcome,) = run(plan, recipe, here=True, overview=overview)
    totals = outcome.artifact.manifest.totals
    message = f"{stage}: {totals.rows_in:,} {totals.unit}s in, {totals.kept:,} kept"
    return Completed(name=outcome.state, message=message)


def stage_flow(stage: Stage) -> Flow[..., State[None]]:
    """A flow that runs one stage on what its inputs were last built to."""

    def body(**parameters: Any) -> State[None]:
        return _run_alone(stage.name, **parameters)

    body.__name__ = stage.name
    body.__doc__ = (
        f"{stage.description}\n\nRuns this stage alone, on the latest artifacts of the recipe it "
        "reads from; the result becomes the recipe's latest."
    )
    body.__signature__ = inspect.Signature(_parameters(stage))  # type: ignore[attr-defined]
    return Flow(fn=body, name=stage.name)


def _parameters(stage: Stage) -> list[inspect.Parameter]:
    """The form of a stage, its fields from top to bottom."""
    reads = ", ".join(sorted({one for item in stage.inputs.values() for one in item.sources}))
    which = (
        "Attempts to read, as stage/build_id/attempt; those left out are the recipe's latest. "
        f"Reads {reads or 'nothing'}."
    )
    fields: list[tuple[str, Any, Any, str]] = [
        ("config", stage.config | None, None, _CONFIG),
        ("recipe", str, "quickstart", RECIPE),
        ("inputs", list[str], [], which),
        ("force", bool, False, _FORCE),
        ("dry_run", bool, False, DRY_RUN),
        ("save_as", str, "", SAVE_AS),
    ]
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=Field(default, description=description),
            annotation=annotation,
        )
        for name, annotation, default, description in fields
    ]


def __getattr__(name: str) -> Flow[..., State[None]]:
    """The flow of the stage of that name, made when it is asked for: all of them take half a
    second of every process that runs one."""
    if name not in STAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    flow = globals()[name] = stage_flow(STAGES[name])
    return flow
