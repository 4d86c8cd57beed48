"""Above which limits a run is to be approved, and what it is expected to take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tasks.approval import Expected, expected, objections, rows_of
from tasks.approval_limits import LimitError, Limits, limits_of
from tasks.engine.errors import RecipeError
from tasks.engine.run.plan import Planner, Row, Status
from tasks.forecasting import Result
from tasks.recipe import load
from tasks.stages.pretrain_config import PretrainConfig
from tasks.stages.sft import STAGE as SFT

NONE = Limits(math.inf, math.inf, 0.0, gpu=False, always=False)
TRAINED = {"parameters": 1_000_000, "tokens": 4_000_000}


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", None),
        ("  ", None),
        ("2h", Limits(7200, math.inf, 0.0, gpu=False, always=False)),
        ("1d 2h , gpu", Limits(93_600, math.inf, 0.0, gpu=True, always=False)),
        ("40 at 2.5", Limits(math.inf, 40, 2.5, gpu=False, always=False)),
        ("always", Limits(math.inf, math.inf, 0.0, gpu=False, always=True)),
    ],
)
def test_limits(text: str, limits: Limits | None) -> None:
    assert limits_of(text) == limits


@pytest.mark.parametrize("text", ["2", "h", "2h,", "40 at", "40 at -1", "gpus", 2, True, ["2h"]])
def test_what_is_no_limit(text: object) -> None:
    with pytest.raises(LimitError, match="write a length of time"):
        limits_of(text)


def test_a_recipe_says_where_its_limit_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: quickstart\napprove_above: 2 hours\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml: approve_above: '2 hours' is no limit"):
        load(str(file))
    file.write_text("extends: quickstart\napprove_above: 2h, gpu\n")
    assert load(str(file)).approve_above == "2h, gpu"
    assert load(str(file), ["dedup.threshold=0.7"]).approve_above == "2h, gpu"


def stage(name: str, seconds: float | None, devices: int = 1, gpu: bool = False) -> Expected:
    why = "never timed" if seconds is None else "as it last took"
    return Expected(name, seconds, why, devices, gpu)


@pytest.mark.parametrize(
    ("text", "stages", "says"),
    [
        ("2h", [stage("clean", 3600), stage("sft", 3500)], []),
        ("2h", [stage("clean", 3600), stage("sft", 3601)], ["2 h 00 min are more than 2 h 00 min"]),
        ("2h", [stage("clean", None)], ["how long it takes is not known of clean (never timed)"]),
        ("gpu", [stage("clean", None)], []),
        ("gpu", [stage("clean", 9e9), stage("sft", 1, gpu=True)], ["a GPU is taken by sft"]),
        ("20 at 2.5", [stage("pretrain", 3600, 8)], []),
        ("20 at 2.6", [stage("pretrain", 3600, 8)], ["a cost of 20.80 is more than 20.00"]),
        ("always", [stage("clean", 1)], ["approval is always asked for"]),
        ("always", [], []),
        ("1s, gpu", [stage("sft", 2, gpu=True)], ["2.0 s are more than 1.0 s", "a GPU is taken"]),
    ],
)
def test_objections(text: str, stages: list[Expected], says: list[str]) -> None:
    limits = limits_of(text)
    assert limits is not None
    found = objections(limits, stages)
    assert len(found) == len(says)
    assert all(one.startswith(words) for one, words in zip(found, says, strict=True)), found


def test_the_table_adds_up() -> None:
    limits = limits_of("20 at 2")
    assert limits is not None
    rows = rows_of(limits, [stage("clean", 1800), stage("pretrain", 5400, 4), stage("sft", None)])
    assert [row["cost"] for row in rows] == ["1.00", "12.00", "not known", "13.00"]
    assert rows[-1]["time"] == "above 2 h 00 min"


def planned(
    config: PretrainConfig, seconds: float | None, trained: Mapping[str, Any] | None = None
) -> tuple[Planner, list[Row]]:
    """A plan of a pretraining of which an earlier one took so long, and of a stage that rests."""
    before = PretrainConfig(tokens=4_000_000)
    artifact = None
    if trained is not None:
        manifest = SimpleNamespace(config=before.model_dump())
        artifact = cast("Any", SimpleNamespace(facts={"training": trained}, manifest=manifest))
    configs = {"pretrain": config, "sft": SFT.config()}
    chain = SimpleNamespace(wiring={"pretrain": {"sequences": ("pack", "sequences")}})
    plan = cast("Any", SimpleNamespace(configs=configs, chain=chain, artifacts={}))
    rows = [
        Row("pretrain", Status.STALE, ("tokens",), True, None, seconds, 1, artifact),
        Row("sft", Status.FRESH, (), False, None, 50.0, 1),
    ]
    return plan, rows


def test_a_longer_pretraining_is_expected_to_take_longer() -> None:
    plan, rows = planned(PretrainConfig(tokens=40_000_000), 100.0, TRAINED)
    [found] = expected(plan, rows, NONE, None, {})
    assert found.seconds == pytest.approx(1000)
    assert found.device_hours == pytest.approx(1000 / 3600)


def test_of_another_shape_nobody_knows() -> None:
    plan, rows = planned(PretrainConfig(tokens=4_000_000, layers=17), 100.0, TRAINED)
    [found] = expected(plan, rows, NONE, None, {})
    assert (found.seconds, found.why) == (None, "the model is of another shape")
    plan, rows = planned(PretrainConfig(), None)
    [found] = expected(plan, rows, NONE, None, {})
    assert (found.seconds, found.why) == (None, "never timed")


def test_a_forecast_is_believed_first() -> None:
    plan, rows = planned(PretrainConfig(tokens=40_000_000, processes=2), 100.0, TRAINED)
    forecast = Result(1, 1, 1.0, 1.0, 1.0, 7200.0, {}, (), ())
    [found] = expected(plan, rows, NONE, forecast, {})
    assert (found.seconds, found.why, found.device_hours) == (7200.0, "by the forecast", 4.0)


def test_a_gpu_that_is_asked_for_is_one_taken() -> None:
    limits = limits_of("gpu")
    assert limits is not None
    for fields, taken in (
        ({"device": "cuda"}, True),
        ({"device": "cpu"}, False),
        ({"device": "auto", "pool": "gpu"}, True),
        ({"device": "auto", "pool": "cpu"}, False),
    ):
        plan, rows = planned(PretrainConfig.model_validate(fields), 1.0, TRAINED)
        [found] = expected(plan, rows, limits, None, {})
        assert found.gpu is taken, fields
