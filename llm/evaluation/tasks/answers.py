"""What a model makes of the items of a task: an answer each, and the verdict on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llm.evaluation.tasks.continuations import (
    TOO_LONG,
    Likelihood,
    Pair,
    UnscorableTextError,
    likelihoods,
    pair,
)
from llm.evaluation.tasks.definition import Definition
from llm.evaluation.tasks.items import Item
from llm.evaluation.tasks.subject import Prompt, Subject
from llm.final_answers import parse
from llm.model.scoring import Report

ACC, ACC_NORM, LOGPROB, EXACT_MATCH = "acc", "acc_norm", "logprob", "exact_match"
SAME_TEXT = "same_text"
_AT_ONCE = 64  # prompts that are continued between two reports of progress


@dataclass(frozen=True)
class Answer:
    """Of a model to an item.

    Attributes:
        choices: the answers that were scored, with the delimiter, `logprobs` of each in nats; none
            where the model was let talk.
        given: the most probable choice, or what the model said; of a cloze nothing where its own
            words are others.
        tokens_cut: that the prompt lost to fit the context.
        weight: what it counts in a mean of verdicts: 1, or of a text its bytes.
        verdicts: value of each measure on this item; a measure is their sum over that of weights.
    """

    item: str
    prompt: str
    choices: tuple[str, ...]
    logprobs: tuple[float, ...]
    expected: str
    given: str
    tokens_cut: int
    weight: float
    verdicts: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """Of a model on a task.

    Attributes:
        left_out: items that cannot be scored, and why: `too_long`, an answer that the context has
            no room for; `no_token`, one that the tokenizer leaves no token of its own;
            `same_text`, a pair whose two sentences are one (BLiMP has some).
    """

    answers: list[Answer]
    left_out: dict[str, str]


def answer(
    subject: Subject, task: Definition, items: Sequence[Item], batch_tokens: int, report: Report
) -> Outcome:
    """Every item of a task, answered and judged."""
    if task.kind == "exact_match":
        return _said(subject, task, items, report)
    return _scored(subject, task, items, batch_tokens, report)


def _scored(
    subject: Subject, task: Definition, items: Sequence[Item], batch_tokens: int, report: Report
) -> Outcome:
    pairs: list[Pair] = []
    usable: list[tuple[Item, tuple[str, ...]]] = []
    left_out: dict[str, str] = {}
    for item in items:
        texts = tuple(f"{task.delimiter}{choice}" for choice in item.choices)
        if task.kind == "minimal_pairs" and len(set(texts)) == 1:
            left_out[item.name] = SAME_TEXT
            continue
        try:
            found = [pair(subject, item.prompt, text) for text in texts]
        except UnscorableTextError as error:
            left_out[item.name] = error.reason
            continue
        pairs += found
        usable.append((item, texts))
    scores = likelihoods(subject, pairs, batch_tokens, report)
    judge = _JUDGES[task.kind]
    answers, first = [], 0
    for item, texts in usable:
        part = slice(first, first + len(texts))
        first = part.stop
        given, verdicts = judge(item, scores[part])
        answers.append(
            Answer(
                item=item.name,
                prompt=item.prompt,
                choices=texts,
                logprobs=tuple(score.logprob for score in scores[part]),
                expected=texts[item.expected],
                given="" if given is None else texts[given],
                tokens_cut=max(each.cut for each in pairs[part]),
                weight=1.0,
                verdicts=verdicts,
            )
        )
    return Outcome(answers, left_out)


def _choice(item: Item, scores: Sequence[Likelihood]) -> tuple[int | None, dict[str, float]]:
    """acc: the right choice is the most probable one. acc_norm: it has the highest log-probability
    a character, so that a short choice has no advantage. Of equals the first counts."""
    logprobs = [score.logprob for score in scores]
    by_character = [p / len(c) for p, c in zip(logprobs, item.choices, strict=True)]
    given = logprobs.index(max(logprobs))
    normed = by_character.index(max(by_character))
    return given, {ACC: float(given == item.expected), ACC_NORM: float(normed == item.expected)}


def _pair(item: Item, scores: Sequence[Likelihood]) -> tuple[int | None, dict[str, float]]:
    """acc: the right sentence is the more probable one; a tie is no success."""
    good, bad = (score.logprob for score in scores)
    return (0 if good > bad else 1), {ACC: float(good > bad)}


def _cloze(item: Item, scores: Sequence[Likelihood]) -> tuple[int | None, dict[str, float]]:
    """acc: greedy decoding says just this. logprob: of the answer, whose mean gives perplexity."""
    (score,) = scores
    return (0 if score.greedy else None), {ACC: float(score.greedy), LOGPROB: score.logprob}


_Judge = Callable[[Item, Sequence[Likelihood]], tuple[int | None, dict[str, float]]]
_JUDGES: Mapping[str, _Judge] = {
    "multiple_choice": _choice,
    "minimal_pairs": _pair,
    "cloze": _cloze,
}


def _said(subject: Subject, task: Definition, items: Sequence[Item], report: Report) -> Outcome:
    room = subject.context - task.max_new_tokens
    left_out = {item.name: TOO_LONG for item in items} if room < 1 else {}
    answers: list[Answer] = []
    for first in range(0, 0 if room < 1 else len(items), _AT_ONCE):
        part = items[first : first + _AT_ONCE]
        ids = [subject.encode(item.prompt) or [subject.prefix] for item in part]
        said = subject.continue_(
            [Prompt(tokens[-room:], task.max_new_tokens, task.stop) for tokens in ids]
        )
        for item, tokens, text in zip(part, ids, said, strict=True):
            expected = item.choices[item.expected]
            given = parse(task.parser, text)
            right = given is not None and given == parse(task.parser, expected)
            answers.append(
                Answer(
                    item=item.name,
                    prompt=item.prompt,
                    choices=(),
                    logprobs=(),
                    expected=expected,
                    given=text,
                    tokens_cut=max(0, len(tokens) - room),
                    weight=1.0,
                    verdicts={EXACT_MATCH: float(right)},
                )
            )
        report(len(answers), len(items))
    return Outcome(answers, left_out)
