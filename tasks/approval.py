"""What a run is expected to take, and whether somebody is to be asked before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.approval_limits import Limits
from tasks.engine.errors import IngotError
from tasks.engine.run.plan import Planner, Row
from tasks.engine.store.artifact import Artifact
from tasks.forecasting import Result, request_of, size_of
from tasks.machine import uses_gpu
from tasks.panels.numbers import duration

_PRETRAIN = "pretrain"
# Of a config that trains: the fields of its model's shape, where its parameters are not known yet.
_SHAPE = ("hidden_size", "intermediate_size", "layers", "heads", "key_value_heads", "head_dim")


class NotApprovedError(IngotError):
    """A run takes more than may be taken unasked, and nobody could be asked, or said yes."""


@dataclass(frozen=True)
class Expected:
    """What a stage that may run is expected to take.

    Attributes:
        seconds: `None` = nobody knows.
        why: where that comes from.
        devices: that it runs on, for what it costs.
    """

    stage: str
    seconds: float | None
    why: str
    devices: int
    gpu: bool

    @property
    def device_hours(self) -> float:
        return (self.seconds or 0.0) * self.devices / 3600


def expected(
    planner: Planner,
    rows: Sequence[Row],
    limits: Limits,
    forecast: Result | None,
    like: Mapping[str, Artifact],
) -> list[Expected]:
    """What every stage that will or may run is expected to take.

    Args:
        forecast: of the pretraining, where there is one.
        like: for stages that the recipe never built, what others were built by their kind.
    """
    found = []
    for row in rows:
        if row.runs is False:
            continue
        config = planner.configs[row.stage]
        if row.artifact is None and row.stage in like:
            before = like[row.stage]
            row = replace(row, artifact=before, seconds=before.manifest.timings.seconds)
        seconds, why = row.seconds, "as it last took"
        if row.stage == _PRETRAIN:
            seconds, why = _of_pretraining(planner, row, forecast)
        if seconds is None:
            why = why if row.stage == _PRETRAIN and row.artifact else "never timed"
        devices = getattr(config, "processes", 1) * getattr(config, "nodes", 1)
        found.append(Expected(row.stage, seconds, why, devices, limits.gpu and uses_gpu(config)))
    return found


def objections(limits: Limits, stages: Sequence[Expected]) -> list[str]:
    """Why a run is to be approved; none = it may go on unasked.

    What nobody knows counts as more than any limit of time or money.
    """
    if not stages:
        return []
    found = ["approval is always asked for"] if limits.always else []
    seconds = sum(each.seconds or 0.0 for each in stages)
    cost = sum(each.device_hours for each in stages) * limits.price
    if seconds > limits.seconds:
        found.append(f"{duration(seconds)} are more than {duration(limits.seconds)}")
    if cost > limits.cost:
        found.append(f"a cost of {cost:,.2f} is more than {limits.cost:,.2f}")
    unknown = [each for each in stages if each.seconds is None]
    if unknown and (limits.seconds < math.inf or limits.cost < math.inf):
        reasons = ", ".join(f"{each.stage} ({each.why})" for each in unknown)
        found.append(f"how long it takes is not known of {reasons}")
    on_gpu = [each.stage for each in stages if each.gpu]
    if limits.gpu and on_gpu:
        found.append(f"a GPU is taken by {', '.join(on_gpu)}")
    return found


def rows_of(limits: Limits, stages: Sequence[Expected]) -> list[dict[str, str]]:
    """What is expected, as a table of texts with a line for the whole."""
    rows = [_line(limits, each) for each in stages]
    seconds = sum(each.seconds or 0.0 for each in stages)
    known = all(each.seconds is not None for each in stages)
    whole = {"stage": "all", "time": ("" if known else "above ") + duration(seconds)}
    whole["because"] = ""
    if limits.price:
        hours = sum(each.device_hours for each in stages)
        whole["cost"] = f"{hours * limits.price:,.2f}"
    return [*rows, whole]


def _line(limits: Limits, one: Expected) -> dict[str, str]:
    known = one.seconds is not None
    line = {
        "stage": one.stage,
        "time": duration(one.seconds) if one.seconds is not None else "not known",
        "because": one.why,
    }
    if limits.price:
        line["cost"] = f"{one.device_hours * limits.price:,.2f}" if known else "not known"
    return line


def _of_pretraining(
    planner: Planner, row: Row, forecast: Result | None
) -> tuple[float | None, str]:
    """Seconds of the one stage whose length is told by its config, and where they come from."""
    if forecast is not None and forecast.seconds is not None:
        return forecast.seconds, "by the forecast"
    if row.artifact is None or row.seconds is None:
        return None, "never timed"
    before = row.artifact.facts.get("training", {})
    if not before.get("parameters") or not before.get("tokens"):
        return None, "the last run does not say what it did"
    parents = {parent for parent, _ in planner.chain.wiring[row.stage].values()}
    if parents <= planner.artifacts.keys():
        parameters, tokens = size_of(request_of(planner))
    else:
        config = planner.configs[row.stage].model_dump()
        if any(config[name] != row.artifact.manifest.config.get(name) for name in _SHAPE):
            return None, "the model is of another shape"
        parameters, tokens = before["parameters"], config["tokens"] or before["tokens"]
    scale = parameters * tokens / (before["parameters"] * before["tokens"])
    return row.seconds * scale, "the last run's rate, by parameters and tokens"
