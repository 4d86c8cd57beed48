"""What the model of a recipe will reach: small runs on its data, and what follows from them.

The small runs are `pretrain` artifacts like any other, of the same sequences and tokenizer, with
smaller models or fewer tokens; what was built stays in the store and serves the next forecast.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm.rows import rows_with
from llm.tables import VALIDATION
from llm.training.planner.loss_fit import FEWEST, LossFit, Observation, TooFewRunsError
from tasks.engine.errors import IngotError, MissingInputError
from tasks.engine.run.difference import value_difference
from tasks.engine.run.execute import BuildRequest
from tasks.engine.run.plan import Planner, Row
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current, damage
from tasks.engine.store.store import Store
from tasks.panels.numbers import duration
from tasks.stages.pretrain import PretrainConfig, architecture_of, course_of

_STAGE = "pretrain"
MEASURED = "validation_bits_per_byte"
# Width and depth of the small runs, and their tokens, as shares of those of the run to forecast.
LADDER = ((0.5, 0.5), (0.75, 0.25), (0.75, 0.5), (1.0, 0.25), (1.0, 0.5))
# How much above its best a curve may end.
_WORSE = 1.1
# What runs of one law may differ in.
_SIZE = frozenset(
    {"hidden_size", "layers", "heads", "key_value_heads", "head_dim", "intermediate_size"}
)
_LENGTH = frozenset({"tokens", "validate_every"})


class ForecastError(IngotError):
    """No forecast can be made; says what is in the way."""


@dataclass(frozen=True)
class SmallRun:
    """A finished run that a forecast rests on.

    Attributes:
        loss: its last validation bits a byte.
        tokens_per_second: of its steps; `overhead_seconds`: all else that it took.
    """

    build_id: str
    parameters: int
    tokens: int
    loss: float
    flops_per_token: float
    tokens_per_second: float
    overhead_seconds: float

    @property
    def observation(self) -> Observation:
        return Observation(self.parameters, self.tokens, self.loss)


@dataclass(frozen=True)
class Left:
    """A run that a forecast does not rest on, and why."""

    build_id: str
    why: str


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

    Width, MLP, depth and size of a head shrink by `share`; the number of heads stays.
    """
    head = config.head_dim or config.hidden_size // config.heads
    inner = config.intermediate_size or -(-config.hidden_size * 8 // 192) * 64
    head_dim = max(8, round(head * share / 8) * 8)
    changes: dict[str, Any] = {"tokens": tokens, "size": "", "resumable": False}
    if share != 1.0:
        changes |= {
            "hidden_size": head_dim * config.heads
            if head * config.heads == config.hidden_size
            else max(16, round(config.hidden_size * share / 8) * 8),
            "head_dim": head_dim,
            "intermediate_size": max(16, round(inner * share / 32) * 32),
            "layers": max(1, round(config.layers * share)),
        }
    return PretrainConfig.model_validate(config.model_dump() | changes)


def ladder(config: PretrainConfig, tokens: int) -> list[PretrainConfig]:
    """The configs of the small runs for a run of so many tokens, the cheapest first."""
    found = [smaller(config, share, round(tokens * part)) for share, part in LADDER]
    return sorted(found, key=lambda each: each.hidden_size**2 * each.layers * each.tokens)


def request_of(planner: Planner, config: PretrainConfig | None = None) -> BuildRequest:
    """What the planner's recipe would pretrain, or the same with another config.

    Raises:
        MissingInputError: its sequences are not built.
    """
    request = planner.request(_STAGE)
    if config is None:
        return request
    return BuildRequest(request.stage, config, request.inputs, request.externals)


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
    config = config_of(request)
    inputs = {name: artifact.data(output) for name, (artifact, output) in request.inputs.items()}
    course, length = course_of(config, inputs["sequences"])
    architecture = architecture_of(config, inputs["tokenizer"].folder(), length)
    return architecture.parameters, course.steps * course.batch_rows * length


def runs_like(store: Store, request: BuildRequest) -> tuple[list[SmallRun], list[Left]]:
    """Finished runs in the store of one law with this one: they differ from it in size and length
    alone. Those of another law are not mentioned; those that went wrong are."""
    return _sorted_out(
        artifact
        for artifact in _pretrained(store)
        if not difference_of_law(artifact, request) and not _is_same(artifact, request)
    )


def runs_named(
    store: Store, request: BuildRequest, names: Sequence[str]
) -> tuple[list[SmallRun], list[Left]]:
    """The runs of these build ids.

    Raises:
        MissingInputError: there is none.
        ForecastError: one is of another law; names the field that differs.
    """
    artifacts = []
    for name in names:
        artifact = current(store, _STAGE, name) if len(name) >= 16 else None
        if artifact is None:
            raise MissingInputError(
                f"{name!r}: no {_STAGE} of that build id (16 digits at least; `ingot why "
                f"{_STAGE}` shows them)"
            )
        differs = difference_of_law(artifact, request)
        if differs:
            raise ForecastError(
                f"{name}: of another law than the run to forecast, which cannot be fitted together "
                f"with it: {'; '.join(differs[:3])}"
            )
        artifacts.append(artifact)
    return _sorted_out(artifacts)


def difference_of_law(artifact: Artifact, request: BuildRequest) -> list[str]:
    """In what a run differs from the one to forecast, size and length apart."""
    free = _SIZE | _LENGTH

    def kept(config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in free}

    inputs = artifact.manifest.input_ids()
    wanted = {name: record.data_id for name, record in request.records().items()}
    wanted |= {name: snapshot.data_id for name, snapshot in request.externals.items()}
    return value_difference(
        {"inputs": inputs, **kept(artifact.manifest.config)},
        {"inputs": wanted, **kept(request.config.identity())},
    )


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


def _pretrained(store: Store) -> Iterator[Artifact]:
    for build in store.names(f"artifacts/{_STAGE}"):
        artifact = current(store, _STAGE, build)
        if artifact is not None and not damage(artifact):
            yield artifact


def _is_same(artifact: Artifact, request: BuildRequest) -> bool:
    return artifact.manifest.build_id == request.build_id


def _sorted_out(artifacts: Iterable[Artifact]) -> tuple[list[SmallRun], list[Left]]:
    looked_at = [small_run(artifact) for artifact in artifacts]
    return (
        [run for run in looked_at if isinstance(run, SmallRun)],
        [run for run in looked_at if isinstance(run, Left)],
    )


def small_run(artifact: Artifact) -> SmallRun | Left:
    """What a finished run says, or why it says nothing."""
    build, facts = artifact.manifest.build_id, artifact.facts["training"]
    metrics = artifact.data("metrics").table().to_pylist()
    curve = [row["value"] for row in metrics if row["name"] == MEASURED]
    if not curve:
        return Left(build, "nothing was measured on validation rows")
    last = curve[-1]
    if not math.isfinite(last) or last > _WORSE * min(curve):
        return Left(build, f"it diverged: {last:.3f} bits a byte at its end")
    if facts.get("rollbacks"):
        return Left(build, "it was rolled back on its way, with a smaller learning rate")
    # Of its steps, compiled by then: the first ones and what else it took are a cost of their own.
    rates = [row["value"] for row in metrics if row["name"] == "tokens_per_second"]
    rate = statistics.median(rates[len(rates) // 4 :]) if rates else 0.0
    stepping = facts["tokens"] / rate if rate else 0.0
    return SmallRun(
        build_id=build,
        parameters=facts["parameters"],
        tokens=facts["tokens"],
        loss=last,
        flops_per_token=facts["flops_per_token"],
        tokens_per_second=0.0 if facts["resumed_from_step"] else rate,
        overhead_seconds=max(0.0, artifact.manifest.timings.seconds - stepping),
    )
