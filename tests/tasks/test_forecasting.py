"""Small runs and the forecast that rests on them, through the store."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from llm.training.planner.loss_fit import TooFewRunsError
from tasks import forecasting, small_runs
from tasks.engine.errors import MissingInputError
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.run.plan import Planner, Row, Selection, Status
from tasks.engine.store.artifact import Artifact
from tasks.forecasting import LONGEST
from tasks.small_runs import ForecastError, Left, SmallRun, difference_of_law, runs_like, runs_named
from tasks.stages.pretrain import STAGE
from tasks.stages.pretrain_config import PretrainConfig
from tests.tasks.stages.test_pretrain_stage import LENGTH, PACK, TINY, TOKENIZER, built


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> BuildRequest:
    """A run that is asked for, on sequences that are there; a smaller one is done."""
    home = tmp_path_factory.mktemp("forecast")
    done = built(home, pretrain=PretrainConfig(**{**TINY, "seed": 5}))
    inputs = {
        "sequences": (done["pack"].artifact, "sequences"),
        "tokenizer": (done["tokenizer"].artifact, "tokenizer"),
    }
    return BuildRequest(STAGE, PretrainConfig(**TINY), inputs)


@pytest.fixture(scope="module")
def small(target: BuildRequest) -> list[Artifact]:
    config = target.config
    assert isinstance(config, PretrainConfig)
    _, tokens = forecasting.size_of(target)
    store = target.inputs["sequences"][0].store
    return [
        execute(replace(target, config=each), store).artifact
        for each in forecasting.ladder(config, tokens, LONGEST)
    ]


def test_the_ladder_goes_up_to_the_run_itself(target: BuildRequest) -> None:
    config = PretrainConfig(**TINY)
    rungs = forecasting.ladder(config, 12 * 8 * LENGTH, LONGEST)
    assert len(rungs) == 5
    assert len({each.hidden_size for each in rungs}) > 1
    assert {each.tokens for each in rungs} == {12 * 8 * LENGTH * part // 4 for part in (1, 2, 3)}
    whole = forecasting.size_of(target)[0]
    sizes = [forecasting.size_of(replace(target, config=each))[0] for each in rungs]
    assert max(sizes) == whole
    assert min(sizes) < 0.7 * whole
    for each in rungs:
        assert each.hidden_size == each.heads * each.head_dim or each.head_dim == 0
        assert not each.resumable


def test_a_forecast_rests_on_what_differs_in_size_and_length_alone(
    target: BuildRequest, small: list[Artifact]
) -> None:
    store = small[0].store
    runs, left = runs_like(store, target)
    assert {run.build_id for run in runs} == {each.manifest.build_id for each in small}
    assert not left  # the run of another seed is of another law, and is not mentioned
    for run in runs:
        [artifact] = [each for each in small if each.manifest.build_id == run.build_id]
        rows = artifact.data("metrics").table().to_pylist()
        measured = [row["value"] for row in rows if row["name"] == small_runs.MEASURED]
        assert run.loss == measured[-1]
        assert run.tokens_per_second > 0
    found = forecasting.forecast(target, runs, left)
    assert (found.parameters, found.tokens) == forecasting.size_of(target)
    assert found.low < found.bits < found.high
    assert found.seconds is not None
    assert found.seconds > 0
    assert f"{found.bits:.3f} bits a byte" in forecasting.in_words(found)
    assert forecasting.rows_of(found)[-1]["run"] == "forecast"


def test_a_plan_tells_it_where_small_runs_are_there(
    target: BuildRequest, small: list[Artifact]
) -> None:
    def planned(**changes: Any) -> tuple[Planner, list[Row]]:
        configs = {
            "tokenizer": TOKENIZER,
            "pack": PACK,
            "pretrain": PretrainConfig(**TINY | changes),
        }
        chain = SimpleNamespace(
            wiring={"pretrain": {"sequences": ("pack", "sequences"),
                                 "tokenizer": ("tokenizer", "tokenizer")}},
            stages={"pretrain": STAGE},
        )  # fmt: skip
        artifacts = {
            "pack": target.inputs["sequences"][0],
            "tokenizer": target.inputs["tokenizer"][0],
        }
        store = small[0].store
        planner = Planner(chain, configs, "mine", store, Selection(), artifacts=artifacts)  # type: ignore[arg-type]
        return planner, [Row("pretrain", Status.MISSING, (), True, None, None, None)]

    found = forecasting.of_plan(*planned())
    assert found is not None
    assert len(found.runs) == 5
    assert forecasting.of_plan(*planned(seed=77)) is None  # of another law: none to rest on
    planner, [row] = planned()
    assert forecasting.of_plan(planner, [replace(row, runs=False)]) is None
    planner.artifacts.clear()
    assert forecasting.of_plan(planner, [row]) is None


def test_runs_of_different_data_are_refused_with_the_field_that_differs(
    target: BuildRequest, small: list[Artifact]
) -> None:
    store = small[0].store
    [other] = [
        build
        for build in store.names("artifacts/pretrain")
        if build not in {each.manifest.build_id[:16] for each in small}
    ]
    with pytest.raises(ForecastError, match=r"seed: 5 -> 0|seed"):
        runs_named(store, target, [other])
    there = small[0].manifest.build_id
    for unknown in ("0" * 16, there[:16] + "0" * 48, there[:8]):
        with pytest.raises(MissingInputError, match="no pretrain of that build id"):
            runs_named(store, target, [unknown])


def test_a_run_that_is_named_twice_or_measured_more_often_counts_once(
    target: BuildRequest, small: list[Artifact]
) -> None:
    store, names = small[0].store, [each.manifest.build_id for each in small]
    runs, _ = runs_named(store, target, [*names[:2], *names[:2]])
    assert len(runs) == 2
    config = forecasting.ladder(PretrainConfig(**TINY), 12 * 8 * LENGTH, LONGEST)[0]
    often = config.model_copy(update={"validate_every": config.validate_every + 1})
    again = execute(replace(target, config=often), store).artifact
    assert again.manifest.build_id not in names
    runs, _ = runs_named(store, target, [*names, again.manifest.build_id])
    assert len(runs) == len(small)
    # Tasks that are asked on the way change no weight: the runs are of one law with and without.
    asking = PretrainConfig(**TINY, tasks_every=2, tasks=["quiz.yaml"])
    assert not difference_of_law(small[0], replace(target, config=asking))
    assert forecasting.ladder(asking, 12 * 8 * LENGTH, LONGEST)[0] == config


def test_runs_that_no_fit_could_tell_apart_are_refused_before_they_are_made(
    target: BuildRequest,
) -> None:
    short = PretrainConfig(**{**TINY, "tokens": 8 * LENGTH})
    shallow = PretrainConfig(**{**TINY, "layers": 1, "hidden_size": 16, "intermediate_size": 16})
    for config, says in ((short, "1 lengths"), (shallow, "1 sizes")):
        request = replace(target, config=config)
        rungs = forecasting.ladder(config, forecasting.size_of(request)[1], LONGEST)
        with pytest.raises(ForecastError, match=says):
            forecasting.require_different([replace(target, config=each) for each in rungs])


def test_a_llama_stays_one_that_transformers_loads() -> None:
    config = PretrainConfig(
        hidden_size=120, heads=12, key_value_heads=4, head_dim=16, qk_norm=False, layers=4
    )
    assert all(each.hidden_size % 12 == 0 for each in forecasting.ladder(config, 10**6, LONGEST))


def test_too_few_runs_are_told(target: BuildRequest, small: list[Artifact]) -> None:
    named = [each.manifest.build_id for each in small[:2]]
    runs, left = runs_named(small[0].store, target, named)
    with pytest.raises(TooFewRunsError, match="2 runs"):
        forecasting.forecast(target, runs, left)


def test_runs_that_went_wrong_are_left_out_with_the_reason(
    small: list[Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_facts(**facts: Any) -> SmallRun | Left:
        artifact = Artifact(small[0].store, small[0].manifest.model_copy(deep=True))
        artifact.manifest.facts["training"].update(facts)
        return small_runs.small_run(artifact)

    assert isinstance(with_facts(), SmallRun)
    rolled_back = with_facts(rollbacks=2)
    assert isinstance(rolled_back, Left)
    assert "rolled back" in rolled_back.why
    resumed = with_facts(resumed_from_step=3)
    assert isinstance(resumed, SmallRun)
    monkeypatch.setattr(small_runs, "_LAST", 10**6)  # the mean of all its losses, and of the first
    monkeypatch.setattr(small_runs, "statistics", SimpleNamespace(fmean=max, median=max))
    unlearned = with_facts()  # whatever it measured: its losses are no lower than the first
    assert isinstance(unlearned, Left)
    monkeypatch.undo()
    monkeypatch.setattr(small_runs, "MEASURED", "tokens_per_second")
    monkeypatch.setattr(small_runs, "_WORSE", 0.0)
    diverged = with_facts()
    assert isinstance(diverged, Left)
    assert "it diverged" in diverged.why


def test_time_is_that_of_the_run_nearest_in_size() -> None:
    def run(parameters: int, tokens: int, rate: float) -> SmallRun:
        return SmallRun("0" * 64, parameters, tokens, 2.0, 6.0 * parameters, rate, 10.0)

    runs = [run(1_000, 100, 50.0), run(1_000, 200, 40.0), run(500, 900, 100.0)]
    assert forecasting._seconds(1_000, 4_000, runs) == 4_000 / 40 + 10
    assert forecasting._seconds(2_000, 4_000, runs) == 4_000 / 20 + 10
    assert forecasting._seconds(2_000, 4_000, [run(1, 1, 0.0)]) is None
