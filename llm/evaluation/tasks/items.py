"""Items of a task: its records, each as a prompt and the answers that are scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llm.corpus.decontaminate.items import read_records
from llm.errors import ExpectedError
from llm.evaluation.tasks.definition import Definition, TaskFile
from llm.evaluation.tasks.template import TaskTemplateError, fill, value
from llm.final_answers import parse

_BETWEEN_SHOTS = "\n\n"


class TaskItemError(ExpectedError, ValueError):
    """A record is no item of its task; names file, line and field."""


@dataclass(frozen=True)
class Item:
    """A question.

    Attributes:
        name: "<file>:<line>", where a person finds it; the same for every model.
        prompt: what stands before an answer.
        choices: the answers that are scored, without the delimiter; of cloze and exact match the
            one that is expected; of minimal pairs the right sentence and the other.
        expected: the place of the right one.
    """

    name: str
    prompt: str
    choices: tuple[str, ...]
    expected: int


def read_items(task: Definition, limit: int) -> list[Item]:
    """The first `limit` items of a task (0 = all), in the order of its files.

    Raises:
        EvaluationFileError: a file is not what its name says.
        TaskItemError: a record lacks what the task asks for, or there is none.
    """
    shots = _shots(task)
    records = _records(task.files)
    found = [_item(task, where, record, shots) for where, record in islice(records, limit or None)]
    if not found:
        raise TaskItemError(f"task {task.name}: no item in its files; correct files")
    return found


def _records(files: Sequence[TaskFile]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files:
        yield from read_records(file.path, file.name)


def _shots(task: Definition) -> str:
    """Solved records, each with an empty line behind it."""
    if not task.shots:
        return ""
    found = []
    for where, record in islice(_records(task.shot_files), task.shots):
        item = _item(task, where, record, "")
        found.append(f"{item.prompt}{task.delimiter}{item.choices[item.expected]}")
    if len(found) < task.shots:
        raise TaskItemError(
            f"task {task.name}: shots is {task.shots}, and shot_files hold {len(found)} records"
        )
    return "".join(f"{shot}{_BETWEEN_SHOTS}" for shot in found)


def _item(task: Definition, where: str, record: Mapping[str, Any], shots: str) -> Item:
    try:
        prompt = shots + fill(task.prompt, record)
        if task.kind == "multiple_choice":
            choices = _choices(value(task.choices, record))
            return Item(where, prompt, choices, _expected(value(task.answer, record), choices))
        if task.kind == "minimal_pairs":
            pair = (fill(task.good, record), fill(task.bad, record))
            return Item(where, prompt, _not_empty(pair), 0)
        target = fill(task.target, record)
        if task.kind == "exact_match" and parse(task.parser, target) is None:
            raise TaskItemError(f"target is {_shown(target)}, in which there is no {task.parser}")
        return Item(where, prompt, _not_empty((target,)), 0)
    except (TaskTemplateError, TaskItemError) as error:
        raise TaskItemError(f"task {task.name}, {where}: {error}") from error


def _choices(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(choice, str) for choice in found):
        raise TaskItemError(f"choices is {_shown(found)}; it is a list of texts")
    if len(found) < 2:
        raise TaskItemError(f"choices has {len(found)}; it takes two to choose")
    return _not_empty(tuple(found))


def _not_empty(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(texts):
        raise TaskItemError("an answer is an empty text, which has no token to score")
    return texts


def _expected(found: Any, choices: tuple[str, ...]) -> int:
    """The place an answer stands for, from 0 or by its text."""
    if isinstance(found, str) and found in choices:
        return choices.index(found)
    # Some sets write a place as a text.
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 6:
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < len(choices):
        raise TaskItemError(
            f"answer is {_shown(found)}; it is a place from 0 to {len(choices) - 1}, or the text "
            "of a choice"
        )
    return found


def _shown(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:80]}..."
