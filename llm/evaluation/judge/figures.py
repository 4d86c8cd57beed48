"""Figures of a judge's verdicts: win rates, grades, agreement with people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llm.evaluation.bootstrap import Estimate, estimate
from llm.evaluation.judge.agreement import agreement
from llm.evaluation.judge.comparisons import Comparison
from llm.evaluation.judge.outcomes import LABELS
from llm.evaluation.judge.rubric import Criterion
from llm.evaluation.judge.win_rate import length_controlled, win_rate
from llm.evaluation.measure import GRADE, Measure, mean

HUMAN = "people"


@dataclass(frozen=True)
class Judged:
    """A comparison with its outcome by one criterion: 1, 0.5 or 0 for its first answer."""

    comparison: Comparison
    criterion: Criterion
    outcome: float

    @property
    def longer_by(self) -> int:
        """Characters that the first answer has more than the second."""
        first, second = self.comparison.answers
        return len(first) - len(second)


@dataclass(frozen=True)
class JudgeScore:
    """A figure of a model against another; `against` is "" of a grade, `HUMAN` of agreement, whose
    `model` is the source of the labels."""

    model: str
    against: str
    metric: str
    estimate: Estimate


def pair_scores(judged: Sequence[Judged], resamples: int, seed: int) -> Iterator[JudgeScore]:
    """Win rates of each pair of models by each criterion, and of each source of labels how far the
    judge agrees."""
    for model, against, criterion in _once((_models(one), one.criterion) for one in judged):
        if not model:
            continue
        own = [o for o in judged if (*_models(o), o.criterion) == (model, against, criterion)]
        wins = np.array([one.outcome for one in own])
        longer = np.array([float(one.longer_by) for one in own])
        yield JudgeScore(model, against, f"win_rate/{criterion}", win_rate(wins, resamples, seed))
        controlled = length_controlled(wins, longer, resamples, seed)
        yield JudgeScore(model, against, f"lc_win_rate/{criterion}", controlled)
    labelled = [one for one in judged if one.comparison.label]
    for source, _, criterion in _once(((o.comparison.source, ""), o.criterion) for o in labelled):
        own = [o for o in labelled if (o.comparison.source, o.criterion) == (source, criterion)]
        said = [LABELS[one.outcome] for one in own]
        labels = [one.comparison.label for one in own]
        for name, value in agreement(said, labels, resamples, seed).items():
            yield JudgeScore(source, HUMAN, f"{name}/{criterion}", value)


def grade_measure(criterion: Criterion, grades: Mapping[str, float]) -> Measure:
    """The grades of a model's answers, by the item they answer."""
    return mean(f"{GRADE}/{criterion}", tuple(grades), np.array(list(grades.values())))


def grade_score(model: str, measure: Measure, resamples: int, seed: int) -> JudgeScore:
    """The mean grade of a model's answers."""
    return JudgeScore(model, "", measure.metric, estimate(measure, resamples, seed))


def _models(one: Judged) -> tuple[str, str]:
    return one.comparison.model, one.comparison.against


def _once(
    keys: Iterator[tuple[tuple[str, str], Criterion]],
) -> list[tuple[str, str, Criterion]]:
    """Each of them once, in the order in which it first comes."""
    return list(dict.fromkeys((first, second, criterion) for (first, second), criterion in keys))
