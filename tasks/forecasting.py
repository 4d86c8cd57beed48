"""What the model of a recipe will reach: small runs on its data, and what follows from them.

The small runs are `pretrain` artifacts like any other, of the same sequences and tokenizer, with
smaller models or fewer tokens; what was built stays in the store and serves the next forecast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm.rows import rows_with
from llm.tables import VALIDATION
from llm.training.planner.loss_fit import FEWEST, LossFit, TooFewRunsError
from tasks.engine.config import StageConfig
from tasks.engine.run.execute import BuildRequest
from tasks.engine.run.plan import Planner, Row
from tasks.panels.numbers import duration
from tasks.small_runs import ForecastError, Left, SmallRun, runs_like
from tasks.stages.pretrain import architecture_of, course_of, with_mixture
from tasks.stages.pretrain_config import PretrainConfig

_STAGE = "pretrain"
# Width and depth of the small runs as shares of the run's to forecast, and their tokens as shares
# of the longest one's. Most are of the full size: what length does has to be carried furthest.
LADDER = ((0.5, 1 / 3), (0.5, 2 / 3), (1.0, 1 / 3), (1.0, 2 / 3), (1.0, 1.0))
# Tokens of the longest small run, as a share of the run's to forecast.
LONGEST = 0.75


@dataclass(frozen=True)
class Result:
    """What a recipe's pretraining will come to.

    Attributes:
        bits, low, high: bits a byte on validation rows, and the interval of 90 %.
        seconds: of the stage, on a machine that does what the small runs' machine did; `None`
            where none of them says how fast it was.
        law: medians of the numbers of Hoffmann's law.
    """

    parameters: int
    tokens: int
    bits: float
    low: float
    high: float
    seconds: float | None
    law: Mapping[str, float]
    runs: tuple[SmallRun, ...]
    left_out: tuple[Left, ...]


def smaller(config: PretrainConfig, share: float, tokens: int) -> PretrainConfig:
    """The config of a run with a smaller model and so many tokens.

    Width, MLP, depth and size of a head shrink by `share`; the number of heads stays. No tasks are
    asked on the way: a short run is for its loss.
    """
    head = config.head_dim or config.hidden_size // config.heads
    inner = config.intermediate_size or -(-config.hidden_size * 8 // 192) * 64
    head_dim = max(8, round(head * share / 8) * 8)
    unit = math.lcm(8, config.heads)
    changes: dict[str, Any] = {"tokens": tokens, "resumable": False, "tasks_every": 0, "tasks": []}
    if share != 1.0:
        changes |= {
            "hidden_size": head_dim * config.heads
            if head * config.heads == config.hidden_size
            else max(1, round(config.hidden_size * share / unit)) * unit,
            "head_dim": head_dim,
            "intermediate_size": max(16, round(inner * share / 32) * 32),
            "layers": max(1, round(config.layers * share)),
        }
    return PretrainConfig.model_validate(config.model_dump() | changes)


def ladder(config: PretrainConfig, tokens: int, longest: float) -> list[PretrainConfig]:
    """The configs of the small runs for a run of so many tokens, the cheapest first.

    Args:
        longest: tokens of the longest, as a share of the run's: the nearer to 1, the surer the
            forecast and the dearer.
    """
    found = [smaller(config, share, round(tokens * longest * part)) for share, part in LADDER]
    return sorted(found, key=lambda each: each.hidden_size**2 * each.layers * each.tokens)


def request_of(planner: Planner, config: PretrainConfig | None = None) -> BuildRequest:
    """What the planner's recipe would pretrain, or the same with another config.

    Raises:
        MissingInputError: its sequences are not built.
    """
    request = planner.request(_STAGE)
    if config is None:
        return request
    asked = {name: each.asked for name, each in request.stage.inputs.items()}
    inputs = {
        name: found
        for name, found in request.inputs.items()
        if not asked[name] or getattr(config, asked[name])
    }
    return BuildRequest(request.stage, config, inputs, request.stage.outside(config, planner.store))


def require_fresh_start(config: StageConfig) -> None:
    """Make sure that the run goes on from no model: of no other size there is such a start.

    Raises:
        ForecastError: it does.
    """
    if getattr(config, "continue_from", ""):
        raise ForecastError(
            "pretrain.continue_from: a run that goes on from another is of no law of size and "
            'length; forecast one that starts afresh (--set pretrain.continue_from="")'
        )


def require_share(longest: float) -> None:
    """Make sure that the longest small run is shorter than the run it is to forecast.

    Raises:
        ForecastError: it is not.
    """
    if not 0 < longest < 1:
        raise ForecastError(
            f"longest is {longest:g}; it is the share of the run's tokens that the longest small "
            f"run trains on, above 0 and below 1 (usually {LONGEST:g})"
        )


def require_validation(request: BuildRequest) -> None:
    """Make sure that there is something to forecast.

    Raises:
        ForecastError: no validation sequences are there, or none is measured.
    """
    if not config_of(request).validation_rows:
        raise ForecastError("pretrain.validation_rows is 0: nothing is measured that a fit needs")
    artifact, output = request.inputs["sequences"]
    for table in artifact.data(output).tables(columns=["split"]):
        if rows_with(table, "split", VALIDATION).num_rows:
            return
    raise ForecastError(
        "pack.sequences has no validation rows, so nothing is measured that a fit needs; raise "
        "dedup.validation_fraction"
    )


def size_of(request: BuildRequest) -> tuple[int, int]:
    """Parameters and tokens of a run, its model not made."""
    inputs = {name: artifact.data(output) for name, (artifact, output) in request.inputs.items()}
    config = with_mixture(config_of(request), inputs)
    course, length = course_of(config, inputs["sequences"])
    architecture = architecture_of(config, inputs["tokenizer"].folder(), length)
    return architecture.parameters, course.steps * course.batch_rows * length


def forecast(request: BuildRequest, runs: Sequence[SmallRun], left: Sequence[Left]) -> Result:
    """What the run will come to.

    Raises:
        ForecastError: too many were left out.
        TooFewRunsError: there are too few runs, or they are all of one size or length.
    """
    parameters, tokens = size_of(request)
    if left and len(runs) < FEWEST:
        reasons = "; ".join(f"{each.build_id[:16]}: {each.why}" for each in left)
        raise ForecastError(f"{len(runs)} runs are left to rest on, {FEWEST} are needed: {reasons}")
    fit = LossFit([run.observation for run in runs])
    found = fit.forecast(parameters, tokens)
    return Result(
        parameters=parameters,
        tokens=tokens,
        bits=found.loss,
        low=found.low,
        high=found.high,
        seconds=_seconds(parameters, tokens, runs),
        law=fit.law(),
        runs=tuple(sorted(runs, key=lambda run: (run.parameters, run.tokens))),
        left_out=tuple(left),
    )


def require_different(requests: Sequence[BuildRequest]) -> None:
    """Make sure that small runs differ enough for a fit, before any is trained.

    Raises:
        ForecastError: they do not.
    """
    found = {size_of(request) for request in requests}
    sizes, lengths = ({pair[place] for pair in found} for place in (0, 1))
    if len(found) < FEWEST or len(sizes) < 2 or len(lengths) < 2:
        raise ForecastError(
            f"the small runs would be of {len(sizes)} sizes and {len(lengths)} lengths, "
            f"{len(found)} in all, too few for a fit: the model has too few layers or heads too "
            "small, or tokens are too few, for smaller ones"
        )


def in_words(found: Result) -> str:
    """One sentence."""
    time = "" if found.seconds is None else f", in {duration(found.seconds)}"
    return (
        f"{found.parameters / 1e6:,.2f} M parameters after {found.tokens / 1e6:,.1f} M tokens: "
        f"{found.bits:.3f} bits a byte on validation rows, between {found.low:.3f} and "
        f"{found.high:.3f} with 90 %{time}; from {len(found.runs)} runs"
    )


def rows_of(found: Result) -> list[dict[str, str]]:
    """The runs and the forecast, as a table of texts."""
    rows = [
        {
            "run": run.build_id[:16],
            "parameters": f"{run.parameters / 1e6:,.2f} M",
            "tokens": f"{run.tokens / 1e6:,.1f} M",
            "bits a byte": f"{run.loss:.4f}",
            "tokens/s": f"{run.tokens_per_second:,.0f}" if run.tokens_per_second else "-",
        }
        for run in found.runs
    ]
    rows += [
        {"run": left.build_id[:16], "parameters": "", "tokens": "", "bits a byte": left.why,
         "tokens/s": ""}
        for left in found.left_out
    ]  # fmt: skip
    forecast = {
        "run": "forecast",
        "parameters": f"{found.parameters / 1e6:,.2f} M",
        "tokens": f"{found.tokens / 1e6:,.1f} M",
        "bits a byte": f"{found.bits:.4f} ({found.low:.4f} to {found.high:.4f})",
        "tokens/s": "",
    }
    return [*rows, forecast]


def config_of(request: BuildRequest) -> PretrainConfig:
    """The config of a request to pretrain."""
    if not isinstance(request.config, PretrainConfig):
        raise TypeError(f"{type(request.config).__name__} is no config of {_STAGE}")
    return request.config


def of_plan(planner: Planner, rows: Sequence[Row]) -> Result | None:
    """The forecast for a planned run, where it would pretrain, what that reads is built, and there
    are runs enough to rest on."""
    if not any(row.stage == _STAGE and row.runs for row in rows):
        return None
    parents = {parent for parent, _ in planner.chain.wiring[_STAGE].values()}
    if not parents <= planner.artifacts.keys():
        return None
    request = request_of(planner)
    runs, left = runs_like(planner.store, request)
    try:
        return forecast(request, runs, left)
    except (TooFewRunsError, ForecastError):
        return None


def _seconds(parameters: int, tokens: int, runs: Sequence[SmallRun]) -> float | None:
    """Tokens by the rate of the run nearest in size, the longest of those; and what such a run
    needs beside its steps."""
    timed = [run for run in runs if run.tokens_per_second > 0]
    if not timed:
        return None
    nearest = min(timed, key=lambda r: (abs(math.log(r.parameters / parameters)), -r.tokens))
    rate = nearest.tokens_per_second * nearest.parameters / parameters
    if nearest.parameters == parameters:
        rate = nearest.tokens_per_second
    return tokens / rate + nearest.overhead_seconds
