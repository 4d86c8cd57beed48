"""An experiment as a flow: every run of every variant, one by one, then what each is worth."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.experiment_plan import Question, question
from flows.running import build_apart, run, shown_run
from tasks.comparison.contenders import contender
from tasks.engine.store import channels
from tasks.experiments import worth
from tasks.experiments.finding import finding
from tasks.experiments.fixed_text import evaluation_request, text_of
from tasks.findings import record, worth_table
from tasks.findings.result import Result
from tasks.findings.worth_flow import worth_flow
from tasks.machine import require_devices
from tasks.panels.panels import Flow
from tasks.report.funnel import funnel


@dataclass(frozen=True)
class Found:
    """What an experiment came to, and what leaves the funnel of its base."""

    result: Result
    removals: Flow


# Of a run that its caller, in this process, has planned already.
ASKED: ContextVar[Question | None] = ContextVar("asked", default=None)
# What the last run of this process found.
LAST: list[Found] = []


@flow(name="experiment")
def experiment(
    file: str = Field(
        description="YAML file of the experiment: a recipe and in what its variants differ "
        "(relative to INGOT_ROOT)."
    ),
) -> State[dict[str, Any]]:
    """Train and measure the variants of a recipe, and say what each change is worth."""
    LAST.clear()
    with shown_run():
        asked = ASKED.get() or question(file)
        runs = [_built(asked, variant, seed) for variant, seed in asked.plans]
        found = worth.result(asked.experiment, runs)
        over = finding(asked.experiment, found)
        record.keep(asked.base.store, over)
        flowing = worth_flow(found, over.removals, funnel(asked.base.artifacts))
        LAST.append(Found(found, flowing))
        publish.experiment(found, flowing, asked.base.store)
    said = worth_table.in_words(found)
    get_run_logger().info("%s", said)
    return Completed(message=said, data=record.as_record(found))


def _built(asked: Question, variant: str, seed: int) -> worth.Run:
    """A run, what is there already served, and its evaluation on the base's text."""
    plan, log = asked.plans[variant, seed], get_run_logger()
    log.info("variant %s, seed %d", variant, seed)
    plan.planned.clear()  # earlier runs have made since then what this one shares with them
    plan.artifacts.clear()
    require_devices(plan.configs, list(plan.chain.stages))
    run(plan, asked.experiment.source, here=True)
    [measured] = build_apart([evaluation_request(plan, asked.base)], plan)
    channels.point(plan.store, plan.name, measured.artifact)
    return worth.Run(
        variant,
        seed,
        contender(variant, measured.artifact),
        text_of(plan),
        plan.artifacts["pack"],
    )
