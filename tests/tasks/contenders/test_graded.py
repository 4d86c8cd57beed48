"""A judge's grades among the measures that models are compared by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm.evaluation.differences.pairing import DifferentItemsError
from llm.evaluation.measure import Measure, mean
from tasks.comparison.comparing import ComparisonError, compare
from tasks.comparison.contenders import Contender
from tasks.comparison.promotion import judge
from tasks.contenders.by_name import of_channel
from tasks.engine.store.store import Store
from tests.tasks.stand_in_evaluations import bits, evaluated, graded

GRADE = "grade/helpfulness"


def grades(mean_grade: float, n: int = 60, seed: int = 0) -> Measure:
    drawn = np.random.default_rng(seed).normal(mean_grade, 0.5, n)
    return mean(GRADE, tuple(f"prompt:{number}" for number in range(n)), drawn)


def measured(home: Path, recipe: str, grade: Measure, sft: int, by: str = "strict") -> Contender:
    """The last model of a recipe, evaluated and graded."""
    evaluated(home, recipe, {"base": [bits(0)], "sft": [bits(0)]}, sft=sft)
    graded(home, recipe, {"base": [grades(1)], "sft": [grade]}, by, sft=sft)
    return of_channel(Store(str(home)), recipe, "latest")


def test_models_are_compared_and_promoted_by_what_a_judge_says(tmp_path: Path) -> None:
    one = measured(tmp_path, "one", grades(5), sft=1)
    other = measured(tmp_path, "other", grades(7, seed=1), sft=2)
    assert one.measures[GRADE].value == pytest.approx(5, abs=0.2)
    [row] = compare([one, other], [GRADE]).rows
    assert row.difference.verdict == "better"
    assert row.difference.change.value == pytest.approx(2, abs=0.3)
    assert not judge(one, other, [GRADE], []).objections
    assert "worse by grade/helpfulness" in judge(other, one, [], [GRADE]).objections[0]


def test_of_another_build_of_the_model_no_grade_is_taken(tmp_path: Path) -> None:
    graded(tmp_path, "mine", {"sft": [grades(5)]}, sft=1)
    evaluated(tmp_path, "mine", {"base": [bits(0)], "sft": [bits(0)]}, sft=2)
    found = of_channel(Store(str(tmp_path)), "mine", "latest")
    assert list(found.measures) == ["bits_per_byte"]
    with pytest.raises(ComparisonError, match="was not measured by it"):
        compare([found, measured(tmp_path, "other", grades(5), sft=1)], [GRADE])


def test_the_last_judging_counts_and_only_one_judge_compares(tmp_path: Path) -> None:
    one = measured(tmp_path, "one", grades(5), sft=1)
    lenient = measured(tmp_path, "one", grades(9), sft=1, by="lenient")
    assert lenient.measures[GRADE].value == pytest.approx(9, abs=0.2)
    other = measured(tmp_path, "other", grades(6), sft=2)
    assert compare([one, other], [GRADE]).rows[0].difference.verdict == "better"
    with pytest.raises(ComparisonError, match=r"was graded by lenient \(.*other.* by strict \("):
        compare([lenient, other], [GRADE])
    # By all else they are compared, and what was not is told.
    found = compare([lenient, other])
    assert [row.difference.metric for row in found.rows] == ["bits_per_byte"]
    assert [each.metric for each in found.refused] == [GRADE]


def test_a_judging_that_graded_nothing_takes_no_grades_away(tmp_path: Path) -> None:
    before = measured(tmp_path, "one", grades(5), sft=1)
    graded(tmp_path, "one", {}, "pairs only", sft=1)
    after = of_channel(Store(str(tmp_path)), "one", "latest")
    assert after.measures[GRADE].value == before.measures[GRADE].value
    assert after.judge.startswith("strict ")


def test_prompts_without_a_grade_are_told_and_left_out_on_demand(tmp_path: Path) -> None:
    one = measured(tmp_path, "one", grades(5), sft=1)
    fewer = measured(tmp_path, "other", grades(7, n=57, seed=1), sft=2)
    with pytest.raises(DifferentItemsError, match="prompt:5"):
        compare([one, fewer], [GRADE])
    [row] = compare([one, fewer], [GRADE], shared_items=True).rows
    assert (row.difference.change.n, row.difference.verdict) == (57, "better")
