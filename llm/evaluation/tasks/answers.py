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
from llm.evaluation.tasks.subject import Encoder, Prompt, Subject
from llm.final_answers import parse
from llm.model.choosing import ACC, ACC_NORM, likeliest, likeliest_by_character, prefers_first
from llm.model.scoring import Report

LOGPROB, EXACT_MATCH = "logprob", "exact_match"
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
    usable, left_out = scorable(subject, task, items)
    pairs = [pair for each in usable for pair in each.pairs]
    scores = iter(likelihoods(subject, pairs, batch_tokens, report))
    judge = _JUDGES[task.kind]
    answers = []
    for each in usable:
        found = [next(scores) for _ in each.pairs]
        given, verdicts = judge(each.item, found)
        answers.append(
            Answer(
                item=each.item.name,
                prompt=each.item.prompt,
                choices=each.texts,
                logprobs=tuple(score.logprob for score in found),
                expected=each.texts[each.item.expected],
                given="" if given is None else each.texts[given],
                tokens_cut=max(pair.cut for pair in each.pairs),
                weight=1.0,
                verdicts=verdicts,
            )
        )
    return Outcome(answers, left_out)


@dataclass(frozen=True)
class Scorable:
    """An item with its choices as tokens; `texts` are the choices with the delimiter."""

    item: Item
    texts: tuple[str, ...]
    pairs: list[Pair]


def scorable(
    encoder: Encoder, task: Definition, items: Sequence[Item]
) -> tuple[list[Scorable], dict[str, str]]:
    """The items whose choices can be scored, and why the others cannot, by name."""
    found: list[Scorable] = []
    left_out: dict[str, str] = {}
    for item in items:
        texts = tuple(f"{task.delimiter}{choice}" for choice in item.choices)
        if task.kind == "minimal_pairs" and len(set(texts)) == 1:
            left_out[item.name] = SAME_TEXT
            continue
        try:
            pairs = [pair(encoder, item.prompt, text) for text in texts]
        except UnscorableTextError as error:
            left_out[item.name] = error.reason
        else:
            found.append(Scorable(item, texts, pairs))
    return found, left_out


def _choice(item: Item, scores: Sequence[Likelihood]) -> tuple[int | None, dict[str, float]]:
    """acc: the right choice is the most probable one. acc_norm: it has the highest log-probability
    a character, so that a short choice has no advantage. Of equals the first counts."""
    logprobs = [score.logprob for score in scores]
    given = likeliest(logprobs)
    normed = likeliest_by_character(logprobs, [len(choice) for choice in item.choices])
    return given, {ACC: float(given == item.expected), ACC_NORM: float(normed == item.expected)}


def _pair(item: Item, scores: Sequence[Likelihood]) -> tuple[int | None, dict[str, float]]:
    """acc: the right sentence is the more probable one; a tie is no success."""
    right = prefers_first([score.logprob for score in scores])
    return (0 if right else 1), {ACC: float(right)}


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
