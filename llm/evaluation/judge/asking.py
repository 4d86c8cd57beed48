"""Asking a judge many questions: some at a time, each once, known replies not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from llm.errors import ExpectedError
from llm.evaluation.judge.endpoint import Endpoint, JudgeSettings, RefusedCallError, Reply
from llm.evaluation.judge.replies import KeptReply, Question, Replies
from llm.evaluation.judge.rubric import PAIR_VERDICTS, SINGLE_VERDICTS, messages
from llm.evaluation.judge.verdict import MalformedVerdictError, verdict

# A judge whose first replies are all useless is not asked for the rest of them.
_FIRST = 16
_CHARACTERS_A_TOKEN = 4.0  # of English text, roughly
_TOLD = 2_000


class NonsenseJudgeError(ExpectedError, ValueError):
    """No reply holds a verdict; shows one."""


class TooManyCallsError(ExpectedError, ValueError):
    """More calls than the config allows; says how many and what would do."""


@dataclass(frozen=True)
class Answered:
    """What became of a question.

    Attributes:
        verdict: "1", "2" or "tie" of two answers, a grade of one; "" where there is none.
        reason: why there is none: that of `MalformedVerdictError`, a reply's `problem`, or
            `refused`.
        text: the judge's reply, or what the endpoint said.
        asked: it was asked now, and not known from before.
    """

    verdict: str
    reason: str
    text: str
    asked: bool
    prompt_tokens: float
    completion_tokens: float


@dataclass(frozen=True)
class Forecast:
    """What asking will take.

    Attributes:
        calls: to be made; `known`: questions whose replies are kept.
        prompt_tokens: of the calls, at four characters a token.
    """

    calls: int
    known: int
    prompt_tokens: float


@dataclass(frozen=True)
class Limits:
    """How to ask.

    Attributes:
        concurrency: calls under way at a time.
        max_calls: 0 = any number.
        again: ask again where the reply kept holds no verdict.
    """

    concurrency: int
    max_calls: int
    again: bool


def forecast(
    questions: Sequence[Question], settings: JudgeSettings, replies: Replies, limits: Limits
) -> Forecast:
    """How many calls there will be, and how long their prompts are.

    Raises:
        TooManyCallsError: more than `max_calls`.
    """
    wanted = {question.key(settings): question for question in questions}
    left = [q for key, q in wanted.items() if _known(q, key, replies, limits) is None]
    if limits.max_calls and len(left) > limits.max_calls:
        raise TooManyCallsError(
            f"the judge would be asked {len(left)} times, and judge.max_calls is "
            f"{limits.max_calls}; raise it, or lower judge.max_prompts, max_preferences or the "
            "number of criteria"
        )
    return Forecast(len(left), len(wanted) - len(left), sum(map(_prompt_tokens, left)))


def ask(
    questions: Sequence[Question],
    settings: JudgeSettings,
    endpoint: Endpoint,
    replies: Replies,
    limits: Limits,
    report: Callable[[int, int], None],
) -> list[Answered]:
    """What became of each question, in their order; equal ones are asked once.

    Raises:
        NonsenseJudgeError: no reply holds a verdict; none of them is kept then.
        JudgeUnreachableError, JudgeKeyError, UnknownJudgeError: replies so far are kept.
    """
    keys = [question.key(settings) for question in questions]
    answered: dict[str, Answered] = {}
    left: dict[str, Question] = {}
    for key, question in zip(keys, questions, strict=True):
        kept = _known(question, key, replies, limits)
        if kept is None:
            left[key] = question
        else:
            answered[key] = _read(question, kept, asked=False)
    total = len(answered) + len(left)

    def call(key: str, question: Question) -> Answered:
        kept = _call(question, endpoint)
        replies.keep(key, kept)
        return _read(question, kept, asked=True)

    pool = ThreadPoolExecutor(limits.concurrency, "judge")
    waiting = iter(left.items())
    under_way: dict[Future[Answered], str] = {}
    new: dict[str, Answered] = {}
    try:
        # No more handed in than are under way: what is wrong with all is known before all is asked.
        while True:
            while len(under_way) < limits.concurrency and (item := next(waiting, None)):
                under_way[pool.submit(call, *item)] = item[0]
            if not under_way:
                break
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                new[under_way.pop(future)] = future.result()
            if len(new) >= _FIRST:
                _require_sense(new | answered, new, replies)
            report(len(answered) + len(new), total)
    finally:
        endpoint.stop()
        pool.shutdown(cancel_futures=True)  # calls under way are paid for, and their replies kept
        endpoint.close()
    answered |= new
    _require_sense(answered, new, replies)
    first = set[str]()
    found = []
    for key in keys:
        found.append(answered[key] if key not in first else _not_again(answered[key]))
        first.add(key)
    return found


def _known(question: Question, key: str, replies: Replies, limits: Limits) -> KeptReply | None:
    kept = replies.get(key)
    if kept is not None and limits.again and not _read(question, kept, asked=False).verdict:
        return None
    return kept


def _call(question: Question, endpoint: Endpoint) -> KeptReply:
    texts = (question.prompt, *question.answers)
    code = secrets.token_hex(6)
    while any(code in text for text in texts):
        code = secrets.token_hex(6)
    asked = messages(question.criterion, question.prompt, question.answers, code)
    try:
        reply = endpoint.ask(asked)
    except RefusedCallError as error:
        return KeptReply(code, Reply("", "", None, None), str(error))
    text = endpoint.without_key(reply.text)
    whole = Reply(text, reply.problem, reply.prompt_tokens, reply.completion_tokens)
    return KeptReply(code, whole, "")


def _read(question: Question, kept: KeptReply, asked: bool) -> Answered:
    reply = kept.reply
    tokens = (
        _prompt_tokens(question) if reply.prompt_tokens is None else reply.prompt_tokens,
        len(reply.text) / _CHARACTERS_A_TOKEN
        if reply.completion_tokens is None
        else reply.completion_tokens,
    )
    if kept.refusal:
        return Answered("", "refused", kept.refusal, asked, 0.0, 0.0)
    offered = PAIR_VERDICTS if len(question.answers) == 2 else SINGLE_VERDICTS
    found, reason = "", reply.problem
    if not reason:
        try:
            found = verdict(reply.text, kept.code, offered)
        except MalformedVerdictError as error:
            reason = error.reason
    return Answered(found, reason, reply.text, asked, *tokens)


def _prompt_tokens(question: Question) -> float:
    asked = messages(question.criterion, question.prompt, question.answers, "0" * 12)
    return sum(len(message["content"]) for message in asked) / _CHARACTERS_A_TOKEN


def _not_again(answered: Answered) -> Answered:
    """The same for an equal question: one call was made."""
    return Answered(answered.verdict, answered.reason, answered.text, False, 0.0, 0.0)


def _require_sense(
    all_there_is: dict[str, Answered], new: dict[str, Answered], replies: Replies
) -> None:
    if not new or any(one.verdict for one in all_there_is.values()):
        return
    for key in new:
        replies.forget(key)
    one = next(iter(new.values()))
    raise NonsenseJudgeError(
        f"none of {len(all_there_is)} replies of the judge holds a verdict; one ({one.reason}): "
        f"{one.text[:_TOLD]!r}. It may be too small for this: name another judge.model, or raise "
        "judge.max_reply_tokens if it is cut off"
    )
