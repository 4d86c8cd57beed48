"""Every model of a chain on the same validation text, answers, prompts and benchmark tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.evaluation.benchmarks import Benchmark, read_benchmarks, task_measures
from llm.evaluation.bits_per_byte import document_losses
from llm.evaluation.bootstrap import Estimate, difference, estimate
from llm.evaluation.completion_loss import completion_loss
from llm.evaluation.compression import XZ, xz_bits_per_byte
from llm.evaluation.conversations import ValidationRows, tokenise
from llm.evaluation.measure import Measure
from llm.evaluation.preferences import preference_measures
from llm.evaluation.run_file import NamedModel, Run
from llm.evaluation.samples import answers, generated_length
from llm.evaluation.score_tables import (
    BITS_PER_BYTE,
    CHANGE,
    SAMPLES,
    Score,
    headline,
    score_table,
)
from llm.evaluation.tasks.answer_table import ANSWERS, answer_table
from llm.evaluation.tasks.answers import Outcome, answer
from llm.evaluation.tasks.subject import OwnModel
from llm.evaluation.validation_bytes import ValidationText, validation_text
from llm.evaluation.validation_examples import validation_examples
from llm.model.folder import load
from llm.model.scoring import Report
from llm.model.transformer import Transformer
from llm.tokens.chat import ChatEncoder
from llm.tokens.encoding import DocumentEncoder
from llm.training.devices import CUDA_OR_CPU, autocast, find

# Given a model and what it is measured by, whom to tell how far it is.
Begin = Callable[[str, str], Report]


@dataclass(frozen=True)
class Result:
    """Tables as in `score_tables` and `tasks.answers`, and facts for the manifest."""

    scores: pa.Table
    samples: pa.Table
    answers: pa.Table
    facts: dict[str, Any]

    @property
    def tables(self) -> dict[str, pa.Table]:
        """By the names of the stage's outputs."""
        return {"scores": self.scores, "samples": self.samples, "answers": self.answers}


def evaluate(run: Run, begin: Begin) -> Result:
    """Measure each model, and its difference from the one before.

    Raises:
        NoValidationTextError, ModelFolderError, DeviceError; EvaluationFileError, TaskItemError: a
            task's file is not what the task says.
    """
    device = find(run.device, CUDA_OR_CPU)
    tables = (pq.read_table(path, columns=["doc_id", "split", "text"]) for path in run.documents)
    text = validation_text(tables, run.validation_bytes)
    instructions = validation_examples(run.instructions, ["messages"], run.max_instructions)
    preferences = validation_examples(
        run.preferences, ["prompt", "chosen", "rejected"], run.max_preferences
    )
    benchmarks = read_benchmarks(run.tasks, run.max_items)
    scores: list[Score] = []
    samples: list[dict[str, str]] = []
    answered: list[pa.Table] = []
    left_out: dict[str, Any] = {}
    before: dict[str, Measure] = {}
    for place, named in enumerate(run.models):
        model = load(named.folder).to(device)
        encoder = ChatEncoder(named.folder)
        rows = tokenise(encoder, instructions, preferences, model.architecture.context)
        left_out[named.name] = rows.left_out
        with autocast(device, run.precision):
            measures = list(_measures(run, named, model, encoder, text, rows, begin))
            replies, too_long = _samples(run, named.name, model, encoder, continued=place == 0)
            subject = OwnModel(model, named.folder, encoder)
            for benchmark in benchmarks:
                outcome = _answered(run, named.name, subject, benchmark, begin)
                task = benchmark.task.name
                measures += task_measures(task, outcome.answers)
                answered.append(answer_table(named.name, task, outcome.answers))
                if outcome.left_out:
                    left_out[named.name][task] = dict(Counter(outcome.left_out.values()))
        samples += replies
        left_out[named.name]["prompts"] = {"too_long": too_long} if too_long else {}
        for measure in measures:
            found = estimate(measure, run.resamples, run.seed)
            scores.append(Score(named.name, measure.metric, found))
            if measure.metric not in before:
                continue
            changed = difference(measure, before[measure.metric], run.resamples, run.seed)
            if changed is not None:
                scores.append(Score(named.name, measure.metric + CHANGE, changed))
        before = {measure.metric: measure for measure in measures}
    packed = Estimate(xz_bits_per_byte(text.content), None, None, len(text.texts))
    scores.append(Score(XZ, BITS_PER_BYTE, packed))
    facts = {
        "headline": headline(scores),
        "validation_documents": len(text.texts),
        "validation_bytes": len(text.content),
        "validation_bytes_available": text.available,
        "validation_instructions": len(instructions),
        "validation_preferences": len(preferences),
        "left_out": left_out,
        "tasks": {benchmark.task.name: benchmark.facts for benchmark in benchmarks},
    }
    return Result(
        score_table(scores),
        pa.Table.from_pylist(samples, schema=SAMPLES),
        pa.concat_tables([ANSWERS.empty_table(), *answered]),
        facts,
    )


def _answered(
    run: Run, model: str, subject: OwnModel, benchmark: Benchmark, begin: Begin
) -> Outcome:
    task = benchmark.task
    report = begin(model, f"answer to {task.name}")
    return answer(subject, task, benchmark.items, run.eval_batch_tokens, report)


def _measures(
    run: Run,
    named: NamedModel,
    model: Transformer,
    encoder: ChatEncoder,
    text: ValidationText,
    rows: ValidationRows,
    begin: Begin,
) -> Iterator[Measure]:
    """What there are rows for, one metric after the other."""
    report = begin(named.name, "window of text")
    losses = document_losses(
        model, DocumentEncoder(named.folder), text.texts, run.eval_batch_tokens, report
    )
    yield Measure(BITS_PER_BYTE, text.doc_ids, losses.bits, losses.sizes.astype(np.float64))
    if rows.exchanges:
        report = begin(named.name, "validation answer")
        yield completion_loss(model, rows.exchanges, run.eval_batch_tokens, report)
    if rows.pairs:
        report = begin(named.name, "validation pair's answer")
        yield from preference_measures(model, rows.pairs, run.eval_batch_tokens, report)
    exchanges = (rows.exchanges or [pair.chosen for pair in rows.pairs])[: run.max_generated]
    if exchanges:
        report = begin(named.name, "generated answer")
        yield generated_length(model, exchanges, encoder.stops, run.new_tokens, report)


def _samples(
    run: Run, name: str, model: Transformer, encoder: ChatEncoder, continued: bool
) -> tuple[list[dict[str, str]], int]:
    """Answers to the prompts and, where the model is a base model, texts it goes on with; and how
    many of both fill the context."""
    found: list[dict[str, str]] = []
    too_long = 0
    for prompts, chat in ((run.continuations if continued else (), False), (run.prompts, True)):
        replies = answers(model, encoder, prompts, run.new_tokens, chat)
        too_long += sum(prompt not in replies for prompt in prompts)
        found += [{"model": name, "prompt": p, "completion": text} for p, text in replies.items()]
    return found, too_long
