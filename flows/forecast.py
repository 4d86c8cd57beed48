"""What a recipe's pretraining will reach and take: small runs as tasks, then the forecast."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.planning import RECIPE, planner
from flows.running import build_apart, run, shown_run
from tasks import forecasting, small_runs
from tasks.engine.errors import TrainerError
from tasks.engine.run.execute import BuildRequest
from tasks.engine.run.plan import Planner

_STAGE = "pretrain"


@dataclass(frozen=True)
class Question:
    """What is forecast.

    Attributes:
        plan: of a selection that ends with what `pretrain` reads.
        runs: build ids to rest on; none = the small runs of the ladder and all others alike.
        longest: of those, the longest one's tokens as a share of the run's.
    """

    plan: Planner
    recipe: str
    runs: Sequence[str]
    longest: float


# Of a run that its caller, in this process, has planned already.
ASKED: ContextVar[Question | None] = ContextVar("asked", default=None)
# The forecast of the last run of this process.
LAST: list[forecasting.Result] = []


def question(
    recipe: str,
    changes: Sequence[str] = (),
    runs: Sequence[str] = (),
    longest: float | None = None,
) -> Question:
    """The plan of what a forecast for a recipe needs.

    Args:
        longest: `None` = the usual share.

    Raises:
        ForecastError: the recipe trains nothing, or `longest` is no share.
    """
    longest = forecasting.LONGEST if longest is None else longest
    forecasting.require_share(longest)
    whole = planner(recipe, changes)
    if _STAGE not in whole.chain.stages:
        raise small_runs.ForecastError(
            f"recipe {recipe!r} has no {_STAGE}: there is nothing to forecast"
        )
    forecasting.require_fresh_start(whole.configs[_STAGE])
    needed = [name for name in whole.chain.stages if name in whole.chain.ancestors(_STAGE)]
    before = [name for name in needed if name != _STAGE]
    return Question(planner(recipe, changes, only=before), recipe, runs, longest)


def requests(asked: Question) -> list[BuildRequest]:
    """The small runs, the cheapest first; what `pretrain` reads is built."""
    target = forecasting.request_of(asked.plan)
    _, tokens = forecasting.size_of(target)
    configs = forecasting.ladder(forecasting.config_of(target), tokens, asked.longest)
    found = [forecasting.request_of(asked.plan, config) for config in configs]
    forecasting.require_different(found)
    return found


def resolved(asked: Question) -> Question:
    """The question, with what is built of the stages before; nothing is run.

    Raises:
        MissingInputError: it is not built.
    """
    asked.plan.plan()
    return asked


def _train(asked: Question) -> list[small_runs.Left]:
    """Make the small runs; those that fail are left out, with the trainer's reason."""
    failed = []
    for request in requests(asked):
        try:
            build_apart([request], asked.plan)
        except TrainerError as error:
            failed.append(small_runs.Left(request.build_id, f"it failed: {error}"))
            get_run_logger().warning("a small run failed and is left out: %s", error)
    return failed


@flow(name="forecast")
def forecast(
    recipe: str = Field("quickstart", description=RECIPE),
    changes: list[str] = Field(
        [], description="Fields to change, one an entry: stage.field=value."
    ),
    runs: list[str] = Field(
        [],
        description="Build ids of finished pretrain runs to rest on; none = small runs are made, "
        "and all that are in the store count.",
    ),
    longest: float = Field(
        forecasting.LONGEST,
        gt=0,
        lt=1,
        description="Tokens of the longest small run, as a share of the run's: the nearer to 1, "
        "the surer and the dearer.",
    ),
) -> State[dict[str, Any]]:
    """Train five small models on the recipe's data and say what its own will reach."""
    with shown_run():
        asked = ASKED.get() or question(recipe, changes, runs, longest)
        run(asked.plan, asked.recipe)
        target = forecasting.request_of(asked.plan)
        forecasting.require_validation(target)
        if asked.runs:
            rest_on = small_runs.runs_named(asked.plan.store, target, asked.runs)
        else:
            failed = _train(asked)
            runs_there, left = small_runs.runs_like(asked.plan.store, target)
            rest_on = (runs_there, [*left, *failed])
        found = forecasting.forecast(target, *rest_on)
        LAST[:] = [found]
        publish.forecast(found)
    said = forecasting.in_words(found)
    get_run_logger().info("%s", said)
    return Completed(message=said, data=asdict(found))
