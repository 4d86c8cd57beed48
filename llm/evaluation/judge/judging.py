"""Judging: what is asked, in which order, and what is made of the verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from llm.corpus.identity import doc_id
from llm.errors import ExpectedError
from llm.evaluation.items import ITEMS, item_table
from llm.evaluation.judge.asking import Answered, Forecast, Limits, ask, forecast
from llm.evaluation.judge.comparisons import Answer, Comparison, between
from llm.evaluation.judge.endpoint import Access, Endpoint, JudgeSettings
from llm.evaluation.judge.figures import (
    Judged,
    JudgeScore,
    grade_measure,
    grade_score,
    pair_scores,
)
from llm.evaluation.judge.outcomes import outcome
from llm.evaluation.judge.replies import Question, Replies
from llm.evaluation.judge.rubric import Criterion
from llm.evaluation.judge.tables import (
    JUDGE_SCORES,
    JUDGED_ANSWERS,
    OUTCOMES,
    VERDICTS,
)
from llm.evaluation.measure import Measure
from llm.tables import REJECTED

_MILLION = 1_000_000


class NothingToJudgeError(ExpectedError, ValueError):
    """There are no two models' answers, no pairs, and nothing to grade; says what would do."""


@dataclass(frozen=True)
class Prices:
    """Of a million tokens."""

    prompt: float
    reply: float
    currency: str

    def cost(self, prompt_tokens: float, reply_tokens: float) -> float:
        """Of so many tokens."""
        return (self.prompt * prompt_tokens + self.reply * reply_tokens) / _MILLION


@dataclass(frozen=True)
class Work:
    """What is to be judged, and by what.

    Attributes:
        answers: by model, in the order of the chain.
        pairs: to compare beside those of the models.
        compare, grade: whether models are compared, whether answers are graded one by one.
        resamples, seed: of the bootstrap.
    """

    answers: Mapping[str, Sequence[Answer]]
    pairs: Sequence[Comparison]
    against: str
    criteria: Sequence[Criterion]
    compare: bool
    grade: bool
    resamples: int
    seed: int


@dataclass(frozen=True)
class Verdicts:
    """Tables as in `tables`, by output, and facts for the manifest."""

    tables: dict[str, pa.Table]
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Asked:
    """A question and what it is about: a comparison in one order, or an answer of a model."""

    question: Question
    criterion: Criterion
    order: Literal["forward", "backward", ""]
    subject: Comparison | tuple[str, Answer]

    def row(self) -> dict[str, str]:
        """The columns that name it."""
        row = {"criterion": self.criterion, "order": self.order}
        if isinstance(self.subject, Comparison):
            pair = self.subject
            names = {"item": pair.item, "model": pair.model, "against": pair.against}
            return {**row, "kind": "pair", **names}
        model, answer = self.subject
        return {**row, "kind": "single", "item": answer.item, "model": model, "against": ""}

    def about(self) -> str:
        """The same in words."""
        row = self.row()
        who = f"{row['model']} against {row['against']}" if row["against"] else row["model"]
        parts = (row["criterion"], who, row["order"], row["item"])
        return ", ".join(part for part in parts if part)


def judge(
    work: Work,
    settings: JudgeSettings,
    access: Access,
    replies: Replies,
    limits: Limits,
    prices: Prices,
    log: Callable[[str], None],
    report: Callable[[int, int], None],
) -> Verdicts:
    """Ask for every verdict that is not known yet, and make figures of all of them.

    Raises:
        NothingToJudgeError, ModelsDifferError, UnknownReferenceError: before anything is asked.
        TooManyCallsError, NonsenseJudgeError, JudgeUnreachableError, JudgeKeyError,
            UnknownJudgeError: see `asking.ask`.
    """
    comparisons = list(work.pairs)
    if work.compare:
        comparisons += between(work.answers, work.against)
    questions = list(_questions(work, comparisons))
    if not questions:
        raise NothingToJudgeError(
            "judge: nothing to judge: it takes two models to compare, judge.grade for one, or "
            "judge.pairs, or judge.max_preferences and preferences in the recipe"
        )
    plain = [one.question for one in questions]
    before = forecast(plain, settings, replies, limits)
    log(forecast_text(before, settings, prices))
    endpoint = Endpoint(access, settings)
    answered = ask(plain, settings, endpoint, replies, limits, report)
    judged, both = _outcomes(questions, answered)
    graded = _graded(questions, answered)
    scores = list(pair_scores(judged, work.resamples, work.seed))
    scores += [
        grade_score(model, measure, work.resamples, work.seed)
        for model, measures in graded.items()
        for measure in measures
    ]
    items = [item_table(model, measures) for model, measures in graded.items()]
    return Verdicts(
        {
            **_tables(work, questions, answered, judged, scores),
            "items": pa.concat_tables([ITEMS.empty_table(), *items]),
        },
        {
            "judge": settings.model,
            "asked": len(questions),
            "calls": sum(one.asked for one in answered),
            "unusable": dict(sorted(Counter(o.reason for o in answered if o.reason).items())),
            "pairs_without_outcome": both,
            "cost": _cost(answered, prices),
            "headline": _headline(scores),
        },
    )


def forecast_text(before: Forecast, settings: JudgeSettings, prices: Prices) -> str:
    """What asking will take, in words."""
    longest = before.calls * settings.max_reply_tokens
    text = f"{before.calls} calls to {settings.model}, {before.known} verdicts known from before"
    if not (prices.prompt or prices.reply):
        return text
    most = prices.cost(before.prompt_tokens, longest)
    return f"{text}; about {most:.2f} {prices.currency} if every reply is as long as allowed"


def _questions(work: Work, comparisons: Sequence[Comparison]) -> Iterator[_Asked]:
    for criterion in work.criteria:
        for pair in comparisons:
            first, second = pair.answers
            forward = Question(criterion, pair.prompt, (first, second))
            yield _Asked(forward, criterion, "forward", pair)
            backward = Question(criterion, pair.prompt, (second, first))
            yield _Asked(backward, criterion, "backward", pair)
        if work.grade:
            for model, answers in work.answers.items():
                for answer in answers:
                    alone = Question(criterion, answer.prompt, (answer.text,))
                    yield _Asked(alone, criterion, "", (model, answer))


def _outcomes(
    questions: Sequence[_Asked], answered: Sequence[Answered]
) -> tuple[list[Judged], int]:
    """Comparisons of which both orders have a verdict, and how many have not."""
    judged: list[Judged] = []
    without = 0
    for place, asked in enumerate(questions):
        if asked.order != "forward" or not isinstance(asked.subject, Comparison):
            continue
        forward, backward = answered[place].verdict, answered[place + 1].verdict
        if forward and backward:
            judged.append(Judged(asked.subject, asked.criterion, outcome(forward, backward)))
        else:
            without += 1
    return judged, without


def _graded(questions: Sequence[_Asked], answered: Sequence[Answered]) -> dict[str, list[Measure]]:
    """Of each model its grades by each criterion, where there is one."""
    grades: dict[str, dict[Criterion, dict[str, float]]] = {}
    for asked, given in zip(questions, answered, strict=True):
        if not isinstance(asked.subject, Comparison) and given.verdict:
            model, answer = asked.subject
            of_model = grades.setdefault(model, {})
            of_model.setdefault(asked.criterion, {})[answer.item] = float(given.verdict)
    return {
        model: [grade_measure(criterion, found) for criterion, found in by_criterion.items()]
        for model, by_criterion in grades.items()
    }


def _cost(answered: Sequence[Answered], prices: Prices) -> dict[str, Any]:
    """Of the calls of this run."""
    made = [one for one in answered if one.asked]
    prompt = sum(one.prompt_tokens for one in made)
    reply = sum(one.completion_tokens for one in made)
    return {
        "prompt_tokens": round(prompt),
        "reply_tokens": round(reply),
        "amount": round(prices.cost(prompt, reply), 6),
        "currency": prices.currency,
    }


def _headline(scores: Sequence[JudgeScore]) -> dict[str, dict[str, float]]:
    """Length-controlled win rates, by criterion and pair."""
    found: dict[str, dict[str, float]] = {}
    for score in scores:
        if score.metric.startswith("lc_win_rate/"):
            pair = f"{score.model} over {score.against}"
            found.setdefault(score.metric, {})[pair] = score.estimate.value
    return found


def _tables(
    work: Work,
    questions: Sequence[_Asked],
    answered: Sequence[Answered],
    judged: Sequence[Judged],
    scores: Sequence[JudgeScore],
) -> dict[str, pa.Table]:
    verdicts, unusable = [], []
    for asked, given in zip(questions, answered, strict=True):
        row = asked.row()
        # Pairs of files are known by their line: no two questions have all of this in common.
        names = [row[name] for name in ("kind", "criterion", "model", "against", "order")]
        identity = doc_id("judge", row["item"], "\0".join(names).encode())
        if given.verdict:
            verdict = {"verdict": given.verdict, "reply": given.text}
            verdicts.append({"doc_id": identity, **row, **verdict})
        else:
            detail = f"{asked.about()}: {given.text}"
            unusable.append({"doc_id": identity, "reason": given.reason, "detail": detail})
    answers = [
        {"model": model, "item": one.item, "prompt": one.prompt, "answer": one.text}
        for model, found in work.answers.items()
        for one in found
    ]
    outcomes = [
        {
            "item": one.comparison.item,
            "criterion": one.criterion,
            "model": one.comparison.model,
            "against": one.comparison.against,
            "outcome": one.outcome,
            "longer_by": one.longer_by,
            "label": one.comparison.label,
            "source": one.comparison.source,
        }
        for one in judged
    ]
    figures = [
        {
            "model": one.model,
            "against": one.against,
            "metric": one.metric,
            "value": one.estimate.value,
            "low": one.estimate.low,
            "high": one.estimate.high,
            "n": one.estimate.n,
        }
        for one in scores
    ]
    tables = {
        "scores": (figures, JUDGE_SCORES),
        "answers": (answers, JUDGED_ANSWERS),
        "verdicts": (verdicts, VERDICTS),
        "rejected": (unusable, REJECTED),
        "outcomes": (outcomes, OUTCOMES),
    }
    return {name: pa.Table.from_pylist(rows, schema=s) for name, (rows, s) in tables.items()}
