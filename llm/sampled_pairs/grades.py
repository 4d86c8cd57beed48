"""What a language model thinks of sampled answers, each by itself: grades as `llm.evaluation.judge`
asks for them, whose replies are kept and never asked for twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.evaluation.judge.asking import Limits, TooManyCallsError, ask, forecast
from llm.evaluation.judge.comparisons import as_text
from llm.evaluation.judge.endpoint import Access, Endpoint, JudgeSettings
from llm.evaluation.judge.replies import Question, Replies
from llm.evaluation.judge.rubric import HIGHEST_GRADE
from llm.sampled_pairs.choosing import is_whole
from llm.sampled_pairs.drawing import Sampled
from llm.sampled_pairs.run_file import JudgePart


def grades(
    prompts: Sequence[Sequence[Mapping[str, Any]]],
    answers: Sequence[Sequence[Sampled]],
    judge: JudgePart,
    key: str,
    replies: Path,
    log: Callable[[str], None],
    report: Callable[[int, int], None],
) -> list[dict[int, float]]:
    """For each prompt the grades of its answers by their places, 0 the worst and 1 the best; one
    without a verdict has none, and one that was cut off or is blank is not asked about.

    Raises:
        TooManyCallsError, NonsenseJudgeError, JudgeUnreachableError, JudgeKeyError,
            UnknownJudgeError: see `asking.ask`.
    """
    settings = JudgeSettings(judge.model, judge.max_reply_tokens, judge.temperature)
    kept, limits = Replies(replies), Limits(judge.concurrency, 0, again=False)
    places = [
        (number, place)
        for number, some in enumerate(answers)
        for place, one in enumerate(some)
        if is_whole(one)
    ]
    questions = [
        Question(judge.criterion, as_text(prompts[number]), (answers[number][place].answer,))
        for number, place in places
    ]
    found: list[dict[int, float]] = [{} for _ in answers]
    if not questions:
        return found
    told = forecast(questions, settings, kept, limits)
    if judge.max_calls and told.calls > judge.max_calls:
        raise TooManyCallsError(
            f"the judge would be asked {told.calls} times, and max_calls is "
            f"{judge.max_calls}; raise it, or lower samples or max_prompts"
        )
    log(f"{told.calls} calls of the judge, {told.known} replies known from before")
    access = Access(
        judge.base_url,
        key,
        judge.timeout,
        judge.tries,
        judge.first_wait,
        judge.longest_retry_after,
    )
    answered = ask(questions, settings, Endpoint(access, settings), kept, limits, report)
    for (number, place), one in zip(places, answered, strict=True):
        if one.verdict:
            found[number][place] = (int(one.verdict) - 1) / (HIGHEST_GRADE - 1)
    return found
