"""Benchmark tasks of an evaluation, asked of one model after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from llm.evaluation.measure import Measure
from llm.evaluation.run_file import Run
from llm.evaluation.tasks.answer_table import ANSWERS, answer_table
from llm.evaluation.tasks.answers import Answer
from llm.evaluation.tasks.held_out import HeldOutTasks
from llm.evaluation.tasks.subject import Subject
from llm.evaluation.tasks.suite import Begin, OwnTasks, Suite, TaskOutcome
from llm.evaluation.validation_bytes import ValidationText


class Benchmarks:
    """The tasks of a run, and what was answered so far.

    Attributes:
        facts: kind, items and chance of each task that was asked.
        left_out: by model and task, items that could not be scored, by reason.

    Raises:
        EvaluationFileError, TaskItemError, HarnessTaskError: a task, or a file of it, is none.
    """

    def __init__(self, run: Run, text: ValidationText) -> None:
        self._batch_tokens = run.eval_batch_tokens
        self._suites: list[Suite] = [OwnTasks(run.tasks, run.max_items)]
        if run.held_out_items and text.texts:
            self._suites.append(
                HeldOutTasks(text.doc_ids, text.texts, run.held_out_items, run.seed)
            )
        harness = [*run.lm_eval_tasks, *map(str, run.lm_eval_files)]
        if harness:
            # Not before: it takes seconds, and is an extra.
            from llm.evaluation.tasks.harness import HarnessTasks

            self._suites.append(HarnessTasks(harness, run.max_items))
        self._answers: list[pa.Table] = []
        self.facts: dict[str, Any] = {}
        self.left_out: dict[str, dict[str, dict[str, int]]] = {}

    def ask(self, model: str, subject: Subject, begin: Begin) -> list[Measure]:
        """A model's scores on every task."""
        found: list[Measure] = []
        left_out = self.left_out.setdefault(model, {})
        for suite in self._suites:
            for asked in suite.ask(subject, self._batch_tokens, begin):
                task, outcome = asked.task, asked.outcome
                found += task_measures(task, outcome.answers)
                self._answers.append(answer_table(model, task, outcome.answers))
                self.facts.setdefault(task, _facts(asked))
                if outcome.left_out:
                    left_out[task] = dict(Counter(outcome.left_out.values()))
        return found

    @property
    def answers(self) -> pa.Table:
        """Rows of `ANSWERS`, of all models asked so far."""
        return pa.concat_tables([ANSWERS.empty_table(), *self._answers])


def task_measures(task: str, answers: Sequence[Answer]) -> list[Measure]:
    """Each of a task's verdicts over its items, as "<task>/<measure>"."""
    names = dict.fromkeys(name for each in answers for name in each.verdicts)
    found = []
    for name in names:
        judged = [each for each in answers if name in each.verdicts]
        values = np.array([each.verdicts[name] for each in judged], dtype=np.float64)
        weights = np.array([each.weight for each in judged], dtype=np.float64)
        ids = tuple(each.item for each in judged)
        found.append(Measure(f"{task}/{name}", ids, values, weights))
    return found


def _facts(found: TaskOutcome) -> dict[str, Any]:
    """A task's kind, its items, and the share that a draw among the choices gets right, which only
    tasks with a choice have."""
    outcome = found.outcome
    sizes = [len(each.choices) for each in outcome.answers]
    chosen = min(sizes, default=0) > 1
    return {
        "kind": found.kind,
        "items": len(outcome.answers) + len(outcome.left_out),
        "chance": float(np.mean([1 / size for size in sizes])) if chosen else None,
    }
