"""Tasks of lm-eval (EleutherAI's Language Model Evaluation Harness), asked of a `Subject`.

What a task asks and how it judges is lm-eval's; what is computed is ours. Only this file imports
lm-eval, which is an extra, and only runs that name such tasks import this file.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from llm.errors import ExpectedError
from llm.evaluation.tasks.answers import Answer, Outcome
from llm.evaluation.tasks.continuations import (
    Pair,
    UnscorableTextError,
    likelihoods,
    pair,
    rolling_pairs,
)
from llm.evaluation.tasks.subject import Prompt, Subject
from llm.evaluation.tasks.suite import Begin, TaskOutcome

_FEWSHOT_SEED = 1234  # lm-eval's own default
_NEW_TOKENS = 256  # likewise, where a task does not say
_NO_FILTER = "none"
# Names of one setting, the first that is there counts.
_MOST_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_AT_ONCE = 64
_BITS_PER_BYTE = "bits_per_byte"


class HarnessTaskError(ExpectedError, ValueError):
    """A task of lm-eval is unknown, its data are not to be had, or it asks for what a model of
    ours cannot do; names the task."""


class HarnessTasks:
    """A `Suite` of tasks of lm-eval.

    Args:
        tasks: names (also of groups and tags), or paths of YAML files; a local file names data
            relative to its own folder.
        limit: items of each, the first ones; 0 = all.

    Raises:
        HarnessTaskError: a task is unknown, or its data are not to be had.
    """

    def __init__(self, tasks: Sequence[str], limit: int) -> None:
        shipped = any(not is_file(task) for task in tasks)
        manager = TaskManager(include_defaults=shipped)
        self._limit = limit or None
        self._tasks: dict[str, Any] = {}
        for task in tasks:
            found = _load(manager, task)
            repeated = sorted(found.keys() & self._tasks.keys())
            if repeated:
                raise HarnessTaskError(f"{task}: {', '.join(repeated)} is asked twice; remove one")
            self._tasks |= found

    def ask(self, subject: Subject, batch_tokens: int, begin: Begin) -> Iterator[TaskOutcome]:
        for name, task in self._tasks.items():
            # As `lm_eval` does before a run; some tasks shuffle choices.
            random.seed(0)
            np.random.seed(_FEWSHOT_SEED)
            task.set_fewshot_seed(seed=_FEWSHOT_SEED)
            model = _AskedModel(subject, name, batch_tokens, begin)
            results = evaluate(model, {"tasks": {name: task}}, limit=self._limit, bootstrap_iters=0)
            answers = _answers(name, task, results["samples"][name])
            yield TaskOutcome(name, task.OUTPUT_TYPE, Outcome(answers, {}))


def is_file(task: str) -> bool:
    """Whether a task is named by a file, and not as lm-eval knows it."""
    return task.endswith((".yaml", ".yml"))


def _load(manager: TaskManager, task: str) -> dict[str, Any]:
    local = is_file(task)
    if not local and task not in manager.all_tasks:
        raise HarnessTaskError(
            f"lm-eval has no task {task!r}; `lm_eval ls tasks` lists those it has, and a local one "
            "is named by its file"
        )
    path = Path(task).resolve()
    try:
        # Relative names of data are looked for in the current folder.
        with contextlib.chdir(path.parent) if local else contextlib.nullcontext():
            found: dict[str, Any] = manager.load(str(path) if local else task)["tasks"]
    except Exception as error:
        raise HarnessTaskError(
            f"task {task} of lm-eval cannot be loaded: {type(error).__name__}: {error}. Data of "
            "tasks that are named come from the Hugging Face hub and need a network, or its cache; "
            "a local task names local files: dataset_path: json, dataset_kwargs: {data_files: ...}"
        ) from error
    if local:
        for loaded in found.values():
            _check_files(task, path.parent, loaded)
    return found


def _check_files(task: str, folder: Path, loaded: Any) -> None:
    """A file elsewhere would be no part of what identifies the evaluation."""
    for name in _texts((loaded.config.dataset_kwargs or {}).get("data_files")):
        place = (folder / name).resolve()
        if "://" in name or not place.is_relative_to(folder.resolve()):
            raise HarnessTaskError(f"{task}: data_files: {name} is not beside it; put it there")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


class _AskedModel(LM):  # type: ignore[misc]
    """A `Subject` behind lm-eval's interface, for one task."""

    def __init__(self, subject: Subject, task: str, batch_tokens: int, begin: Begin) -> None:
        super().__init__()
        self._subject, self._task = subject, task
        self._batch_tokens, self._begin = batch_tokens, begin

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        pairs = [self._pair(*request.args) for request in requests]
        report = self._begin(f"answer to {self._task}")
        found = likelihoods(self._subject, pairs, self._batch_tokens, report)
        return [(each.logprob, each.greedy) for each in found]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        pairs: list[Pair] = []
        owners: list[int] = []
        for place, request in enumerate(requests):
            (text,) = request.args
            pairs += (parts := rolling_pairs(self._subject, text))
            owners += [place] * len(parts)
        report = self._begin(f"window of {self._task}")
        sums = [0.0] * len(requests)
        found = likelihoods(self._subject, pairs, self._batch_tokens, report)
        for place, each in zip(owners, found, strict=True):
            sums[place] += each.logprob
        return sums

    def generate_until(self, requests: list[Any]) -> list[str]:
        prompts = [self._prompt(*request.args) for request in requests]
        report = self._begin(f"answer to {self._task}")
        said: list[str] = []
        for first in range(0, len(prompts), _AT_ONCE):
            said += self._subject.continue_(prompts[first : first + _AT_ONCE])
            report(len(said), len(prompts))
        return said

    def _pair(self, prompt: str, continuation: str) -> Pair:
        try:
            return pair(self._subject, prompt, continuation)
        except UnscorableTextError as error:
            raise HarnessTaskError(
                f"task {self._task}: {continuation[:60]!r} behind {prompt[-60:]!r} cannot be "
                f"scored ({error.reason}): an answer has a token of its own, and room in the "
                f"model's context of {self._subject.context}"
            ) from error

    def _prompt(self, text: str, settings: Mapping[str, Any]) -> Prompt:
        if settings.get("do_sample") and settings.get("temperature", 1):
            raise HarnessTaskError(
                f"task {self._task}: it draws its answers (do_sample); set do_sample: false in its "
                "generation_kwargs, as answers here are greedy"
            )
        given = (settings[name] for name in _MOST_TOKENS if settings.get(name) is not None)
        most = int(next(given, _NEW_TOKENS))
        room = self._subject.context - most
        if room < 1:
            raise HarnessTaskError(
                f"task {self._task}: {most} new tokens leave no room for a prompt in the model's "
                f"context of {self._subject.context}; lower max_gen_toks in a local copy of it"
            )
        until = settings.get("until") or []
        ends = (until,) if isinstance(until, str) else tuple(until)
        ids = self._subject.encode(text) or [self._subject.prefix]
        return Prompt(ids[-room:], most, tuple(end for end in ends if end))


def _answers(name: str, task: Any, samples: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """lm-eval's record of each item; of a task with several filters one answer, verdicts of all."""
    by_item: dict[int, list[Mapping[str, Any]]] = {}
    for sample in samples:
        by_item.setdefault(sample["doc_id"], []).append(sample)
    return [_answer(name, task.OUTPUT_TYPE, item, by_item[item]) for item in sorted(by_item)]


def _answer(name: str, kind: str, item: int, samples: Sequence[Mapping[str, Any]]) -> Answer:
    verdicts: dict[str, float] = {}
    weight = 1.0
    for sample in samples:
        for metric in sample["metrics"]:
            value = sample[metric]
            if metric == _BITS_PER_BYTE:
                logprob, weight = value
                verdicts[metric] = -logprob / math.log(2)
            # Others are figures of all items together, or functions of the same log-probability.
            elif kind != "loglikelihood_rolling" and isinstance(value, (int, float, np.number)):
                suffix = "" if sample["filter"] == _NO_FILTER else f",{sample['filter']}"
                verdicts[_measure(kind, metric) + suffix] = float(value)
    asked = samples[0]["arguments"]
    replies = [reply[0] for reply in samples[0]["resps"]]
    scored = kind in ("multiple_choice", "loglikelihood")
    choices = tuple(str(request[1]) for request in asked) if scored else ()
    logprobs = tuple(float(reply[0]) for reply in replies) if scored else ()
    given = ""
    if kind == "multiple_choice":
        given = choices[logprobs.index(max(logprobs))]
    elif kind == "loglikelihood":
        given = choices[0] if replies[0][1] else ""
    elif kind == "generate_until":
        given = replies[0]
    return Answer(
        item=f"{name}:{item}",
        prompt=str(asked[0][0]),
        choices=choices,
        logprobs=logprobs,
        expected=_expected(samples[0]["target"], choices),
        given=given,
        tokens_cut=0,
        weight=float(weight),
        verdicts=verdicts,
    )


def _measure(kind: str, metric: str) -> str:
    """A value an item: of what lm-eval makes perplexity of, the log-probability."""
    return "logprob" if (kind, metric) == ("loglikelihood", "perplexity") else metric


def _expected(target: Any, choices: Sequence[str]) -> str:
    if isinstance(target, int) and 0 <= target < len(choices):
        return choices[target]
    return str(target)
