"""Tasks that a model is asked: ours, by their definitions; `harness.py` has those of lm-eval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm.evaluation.tasks.answers import Outcome, answer
from llm.evaluation.tasks.definition import Definition
from llm.evaluation.tasks.items import Item, read_items
from llm.evaluation.tasks.subject import Subject
from llm.model.scoring import Report

# Given what is measured, whom to tell how far it is.
Begin = Callable[[str], Report]


@dataclass(frozen=True)
class TaskOutcome:
    """Of a model on a task, with the task's name and kind."""

    task: str
    kind: str
    outcome: Outcome


class Suite(Protocol):
    """Tasks, with their items at hand."""

    def ask(self, subject: Subject, batch_tokens: int, begin: Begin) -> Iterator[TaskOutcome]:
        """What a model makes of each task."""


class OwnTasks:
    """A `Suite` of definitions, whose items are read once.

    Args:
        limit: items of each, the first ones; 0 = all.

    Raises:
        EvaluationFileError, TaskItemError: a file, or a record in it, is not what the task says.
    """

    def __init__(self, tasks: Sequence[Definition], limit: int) -> None:
        self._tasks: list[tuple[Definition, list[Item]]] = [
            (task, read_items(task, limit)) for task in tasks
        ]

    def ask(self, subject: Subject, batch_tokens: int, begin: Begin) -> Iterator[TaskOutcome]:
        for task, items in self._tasks:
            report = begin(f"answer to {task.name}")
            outcome = answer(subject, task, items, batch_tokens, report)
            yield TaskOutcome(task.name, task.kind, outcome)
