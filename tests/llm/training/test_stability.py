"""Runs in which steps go wrong: they end as well as they can, or say what to do."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm.process.parent import StoppedError
from llm.training import loop, step
from llm.training.checkpoints import Position
from llm.training.divergence import NonFiniteLossError
from llm.training.figures import StepFigures
from llm.training.loop import train
from llm.training.meters import Meters
from llm.training.run_file import Run
from llm.training.saver import Saver
from llm.training.stability import RECENT, ROLLBACKS, TOO_MANY, Stability
from tests.llm.training.small_run import (
    EXECUTION,
    OPTIMISATION,
    After,
    metrics,
    run_of,
    trained,
    weights,
)
from tests.llm.training.spoiled import Spoils, spoil

EVERY = replace(EXECUTION, checkpoint_seconds=0.0)
LONG: dict[str, Any] = {"steps": 40, "validate_every": 20}


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it does not depend on a disk which checkpoint is gone back to."""
    whole = Saver.save

    def save(saver: Saver, position: Position) -> None:
        whole(saver, position)
        saver.finish()

    monkeypatch.setattr(Saver, "save", save)


def _trained(run: Run, spoils: Spoils, factor: float = math.nan) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, spoils, factor)
        return trained(run)


def _what(result: dict[str, Any]) -> list[tuple[str, int]]:
    return [(event["event"], event["step"]) for event in result["events"]]


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_run_with_a_skipped_step_is_one_without_its_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    spoiled, calm = (run_of(tmp_path / name, optimiser=optimiser) for name in ("spoiled", "calm"))
    result = _trained(spoiled, lambda step, _: step == 4)
    whole, calls = step.optimisers.take_step, []

    def take_step(made: Any, skip: Any) -> None:
        calls.append(skip)
        if len(calls) != 4:
            whole(made, skip)

    monkeypatch.setattr(step.optimisers, "take_step", take_step)
    assert trained(calm)["events"] == []
    assert len(calls) == OPTIMISATION.steps
    assert weights(spoiled) == weights(calm)
    told = metrics(spoiled)
    assert set(told["loss"]) == {*range(1, 13)} - {4}
    assert told["skipped_loss"] == {4: metrics(calm)["loss"][4]}
    assert math.isnan(told["skipped_gradient_norm"][4])
    assert told["skipped_steps"] == {n: float(n >= 4) for n in range(1, 13)}
    assert set(told["learning_rate"]) == set(range(1, 13))
    assert (result["skipped_steps"], result["rollbacks"]) == (1, 0)
    [event] = result["events"]
    assert event["event"], event["step"] == ("skipped", 4)
    assert event["detail"] == "gradient norm is nan"
    assert event["gradient_norm"] is None
    assert event["loss"] == pytest.approx(told["skipped_loss"][4])


def test_an_outlier_is_skipped_by_its_size(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 80, "validate_every": 80, "learning_rate": 1e-3}
    run, loose = (
        run_of(tmp_path / str(sigmas), outlier_sigmas=sigmas, **settings) for sigmas in (6.0, 0.0)
    )
    result = _trained(run, lambda step, _: step == 75, 1e4)
    [event] = result["events"]
    assert event["step"] == 75
    assert event["detail"].startswith("gradient norm ")
    assert " is above " in event["detail"]
    assert event["gradient_norm"] > 100
    assert _trained(loose, lambda step, _: step == 75, 1e4)["events"] == []


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_interrupted_around_an_event_it_ends_as_if_undisturbed(
    tmp_path: Path, optimiser: str
) -> None:
    settings: dict[str, Any] = {"optimiser": optimiser, "steps": 80, "validate_every": 30}
    whole, cut = (run_of(tmp_path / name, **settings) for name in ("whole", "cut"))
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda step, _: step in (70, 71), 1e4)
        undisturbed = trained(whole)
        for steps in (69, 1, 3):
            with pytest.raises(StoppedError):
                train(cut, After(steps))
        result = trained(cut)
    assert result["resumed_from_step"] == 73
    assert weights(cut) == weights(whole)
    assert str(metrics(cut)) == str(metrics(whole))
    assert result["events"] == undisturbed["events"] != []


def test_trouble_is_left_by_going_back_with_half_the_rate(tmp_path: Path) -> None:
    run = run_of(tmp_path, EVERY, **LONG)
    result = _trained(run, lambda step, share: 6 <= step <= 20 and share == 1)
    failed = [("skipped", step) for step in range(6, 14)]
    assert _what(result) == [*failed, ("rolled back", 13)]
    assert result["events"][-1]["detail"] == "to step 5, with 0.5 of the learning rate"
    assert (result["skipped_steps"], result["rollbacks"]) == (8, 1)
    told = metrics(run)
    assert set(told["loss"]) == set(range(1, 41))
    assert set(told["skipped_loss"]) == set(range(6, 14))
    assert told["rollback_to_step"] == {13: 5.0}
    calm = run_of(tmp_path / "calm", **LONG)
    trained(calm)
    rates, usual = told["learning_rate"], metrics(calm)["learning_rate"]
    assert rates == {step: rate * (1 if step <= 5 else 0.5) for step, rate in usual.items()}
    assert told["loss"][40] < told["loss"][5] - 0.5


def test_without_a_checkpoint_it_begins_again(tmp_path: Path) -> None:
    run, gentle = run_of(tmp_path / "run", **LONG), run_of(tmp_path / "gentle", **LONG)
    gentle = replace(
        gentle, optimisation=replace(gentle.optimisation, learning_rate=run_rate(run) / 2)
    )
    result = _trained(run, lambda step, share: step > 3 and share == 1)
    trained(gentle)
    assert result["events"][-1]["detail"] == "to step 0, with 0.5 of the learning rate"
    assert weights(run) == weights(gentle)
    ours, theirs = metrics(run), metrics(gentle)
    assert all(ours[name] == theirs[name] for name in ("loss", "validation_loss", "learning_rate"))


def run_rate(run: Run) -> float:
    return run.optimisation.learning_rate


def test_what_fails_twice_is_passed_over(tmp_path: Path) -> None:
    run = run_of(tmp_path, EVERY, **LONG)
    tried: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda step, _: 10 <= step <= 17, tried=tried)
        result = trained(run)
    assert tried == [*range(1, 18), *range(10, 18), *range(18, 41)]
    kinds = [what for what in _what(result) if what[0] != "skipped"]
    assert kinds == [("rolled back", 17), ("passed over", 10), ("rolled back", 17)]
    assert set(metrics(run)["loss"]) == {*range(1, 10), *range(18, 41)}
    assert metrics(run)["learning_rate"][18] == OPTIMISATION.learning_rate / 4


def test_what_always_fails_ends_with_what_to_do(tmp_path: Path) -> None:
    run = run_of(tmp_path, EVERY, **LONG)
    with pytest.raises(
        NonFiniteLossError,
        match=r"8 were skipped, the last one because gradient norm is nan\. Going back to a "
        r"checkpoint 3 times, at last with 0\.125 of the learning rate, did not help\. Lower",
    ):
        _trained(run, lambda step, _: step > 4)
    assert not Path(run.paths.model).exists()


def test_a_short_run_that_fails_is_none_that_ended_well(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"\d steps failed twice and were passed over"):
        _trained(run_of(tmp_path, steps=3), lambda *_: True)


def test_stopped_after_going_back_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    whole, cut = (run_of(tmp_path / name, EVERY, **LONG) for name in ("whole", "cut"))
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda step, share: 6 <= step <= 20 and share == 1)
        undisturbed = trained(whole)
        for steps in (9, 7, 20):
            with pytest.raises(StoppedError):
                train(cut, After(steps))
        result = trained(cut)
    assert result["resumed_from_step"] > 20
    assert weights(cut) == weights(whole)
    assert str(metrics(cut)) == str(metrics(whole))
    assert result["events"] == undisturbed["events"]


def test_no_checkpoint_is_written_amid_trouble(tmp_path: Path) -> None:
    run = run_of(tmp_path, EVERY, **LONG)
    written: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda step, share: step in (6, 9))
        whole = Saver.save

        def save(saver: Saver, position: Position) -> None:
            written.append(position.step)
            whole(saver, position)

        patch.setattr(Saver, "save", save)
        trained(run)
    assert written == [1, 2, 3, 4, 5, 24, 40]  # 24: the last one before the decay, an output


@pytest.mark.parametrize("behind", [1, 3])
def test_figures_read_late_are_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    whole, late = (run_of(tmp_path / name, EVERY, **LONG) for name in ("whole", "late"))
    spoils: Spoils = lambda step, share: step == 7  # noqa: E731
    undisturbed = _trained(whole, spoils)
    monkeypatch.setattr(loop, "Meters", functools.partial(Meters, behind=behind))
    with monkeypatch.context() as patch:
        spoil(patch, spoils)
        with pytest.raises(StoppedError):
            train(late, After(11))
        result = trained(late)
    assert json.loads((Path(late.paths.result)).read_text())["resumed_from_step"] == 11
    assert weights(late) == weights(whole)
    assert str(metrics(late)) == str(metrics(whole))
    assert list(metrics(late)["learning_rate"]) == list(range(1, 41))
    assert result["events"] == undisturbed["events"]


def _seen(stability: Stability, skipped: list[bool], start: int = 1) -> None:
    for number, flag in enumerate(skipped, start=start):
        figures = StepFigures(math.nan if flag else 2.0, 1.0, flag, 9.0, 9.0, {}, 1e-3, 10, 0.0)
        stability.see(number, figures)


def test_trouble_is_eight_of_the_last_thirty_two() -> None:
    stability = Stability()
    _seen(stability, [True] * (TOO_MANY - 1) + [False] * (RECENT - TOO_MANY + 1))
    assert not stability.in_trouble(8, 100)
    assert stability.uncertain
    _seen(stability, [True], RECENT + 1)  # the first one is forgotten
    assert not stability.in_trouble(8, 100)
    _seen(stability, [True], RECENT + 2)
    assert not stability.in_trouble(8, 100)
    _seen(stability, [False] * RECENT, RECENT + 3)
    assert not stability.uncertain
    _seen(stability, [True] * TOO_MANY, 2 * RECENT + 3)
    assert stability.in_trouble(8, 100)
    assert stability.require_rollback() == 2 * RECENT + 3


@pytest.mark.parametrize(("skipped", "expected"), [(1, False), (2, True)])
def test_at_the_end_more_than_a_quarter_is_trouble(skipped: int, expected: bool) -> None:
    stability = Stability()
    _seen(stability, [True] * skipped + [False] * (4 - skipped))
    assert stability.in_trouble(4, 4) is expected
    assert not stability.in_trouble(8, 100)


def test_what_is_saved_is_all_of_it() -> None:
    stability = Stability()
    at = 0
    for _ in range(ROLLBACKS):
        _seen(stability, [False, *[True] * TOO_MANY], at + 1)
        stability.roll_back(at)
        at += 3
    _seen(stability, [True, False], at + 1)
    state = json.loads(json.dumps(stability.state()))
    again = Stability.of(state)
    assert json.loads(json.dumps(again.state())) == state
    assert (again.rollbacks, again.skipped, again.uncertain) == (3, 25, True)
    steps = range(1, 30)
    assert [again.passes_over(s) for s in steps] == [stability.passes_over(s) for s in steps]
    assert any(again.passes_over(s) for s in steps)


def test_only_steps_that_fail_on_both_ways_are_passed_over() -> None:
    stability = Stability()

    def way(skipped: set[int], last: int) -> None:
        for number in range(1, last + 1):
            if not stability.passes_over(number):
                stability.see(number, _figures(number in skipped))

    way({*range(10, 17), 20}, 20)
    assert stability.in_trouble(20, 100)
    stability.roll_back(0)
    assert not any(stability.passes_over(number) for number in range(1, 101))
    way({10, 11, 12, 14, 20, 22, 23, 24, 25}, 25)
    stability.roll_back(9)
    assert [number for number in range(1, 101) if stability.passes_over(number)] == [
        10,
        11,
        12,
        14,
        20,
    ]
    assert (stability.passed_over, stability.not_taken) == (5, 5)
    over = [(e.step, e.detail) for e in stability.events if e.event == "passed over"]
    assert over == [(10, "up to step 12, failed twice"), (14, "failed twice"), (20, "failed twice")]
    again = Stability.of(json.loads(json.dumps(stability.state())))
    assert again.state() == stability.state()


def _figures(skipped: bool) -> StepFigures:
    loss = math.nan if skipped else 2.0
    return StepFigures(loss, 1.0, skipped, math.inf, math.inf, {}, 1e-3, 256, 0.0)
