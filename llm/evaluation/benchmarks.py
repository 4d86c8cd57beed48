"""Benchmark tasks of an evaluation: their items, read once, and what each model scores on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.evaluation.measure import Measure, mean
from llm.evaluation.tasks.answers import Answer
from llm.evaluation.tasks.definition import Definition
from llm.evaluation.tasks.items import Item, read_items


@dataclass(frozen=True)
class Benchmark:
    """A task with its items."""

    task: Definition
    items: list[Item]

    @property
    def facts(self) -> dict[str, Any]:
        """Its kind, its items, and the share that a draw among the choices gets right, which only
        tasks with a choice have."""
        kind = self.task.kind
        sizes = [len(item.choices) for item in self.items]
        chance = float(np.mean([1 / size for size in sizes])) if min(sizes) > 1 else None
        return {"kind": kind, "items": len(self.items), "chance": chance}


def read_benchmarks(tasks: Sequence[Definition], limit: int) -> list[Benchmark]:
    """Each task with its first `limit` items (0 = all).

    Raises:
        EvaluationFileError, TaskItemError: a file, or a record in it, is not what the task says.
    """
    return [Benchmark(task, read_items(task, limit)) for task in tasks]


def task_measures(task: str, answers: Sequence[Answer]) -> list[Measure]:
    """The mean of each of a task's verdicts over its items, as "<task>/<measure>"."""
    names = dict.fromkeys(name for each in answers for name in each.verdicts)
    found = []
    for name in names:
        judged = [each for each in answers if name in each.verdicts]
        values = np.array([each.verdicts[name] for each in judged], dtype=np.float64)
        found.append(mean(f"{task}/{name}", tuple(each.item for each in judged), values))
    return found
