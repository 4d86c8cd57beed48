"""Every model of a chain on the same validation text, answers, prompts and benchmark tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.evaluation.benchmarks import Benchmarks
from llm.evaluation.bootstrap import Estimate, difference, estimate
from llm.evaluation.completion_loss import completion_loss
from llm.evaluation.compression import XZ, xz_bits_per_byte
from llm.evaluation.conversations import ValidationRows, tokenise
from llm.evaluation.document_groups import languages
from llm.evaluation.items import item_table
from llm.evaluation.measure import BITS_PER_BYTE, Measure
from llm.evaluation.preferences import preference_measures
from llm.evaluation.run_file import NamedModel, Run
from llm.evaluation.safety.subjects import is_of_safety
from llm.evaluation.safety_checks import SafetyChecks
from llm.evaluation.samples import answers, continued, generated_length
from llm.evaluation.score_tables import (
    CHANGE,
    SAMPLES,
    Score,
    headline,
    score_table,
)
from llm.evaluation.tasks.subject import OwnModel, Subject
from llm.evaluation.tasks.talking import OwnTalk, Talking, talk_of
from llm.evaluation.tasks.transformers_model import TransformersModel
from llm.evaluation.text_measures import text_measures
from llm.evaluation.validation_bytes import NO_TEXT, validation_text
from llm.evaluation.validation_examples import validation_examples
from llm.evaluation.verbatim import VerbatimCheck, held_out_prompts
from llm.evaluation.wilson import wilson
from llm.foreign.model import AnyModel, open_model
from llm.model.scoring import Report
from llm.tokens.chat import ChatEncoder
from llm.training.devices import CUDA_OR_CPU, autocast, find

# Given a model and what it is measured by, whom to tell how far it is.
Begin = Callable[[str, str], Report]


@dataclass(frozen=True)
class Result:
    """Tables as in `score_tables`, `items` and `tasks.answers`, and facts for the manifest."""

    scores: pa.Table
    items: pa.Table
    samples: pa.Table
    answers: pa.Table
    facts: dict[str, Any]

    @property
    def tables(self) -> dict[str, pa.Table]:
        """By the names of the stage's outputs."""
        return {name: getattr(self, name) for name in ("scores", "items", "samples", "answers")}


def evaluate(run: Run, begin: Begin) -> Result:
    """Measure each model, and its difference from the one it is compared with.

    Raises:
        NoValidationTextError, ModelFolderError, DeviceError, ItemsError; EvaluationFileError,
            TaskItemError, HarnessTaskError: a task, or a file of it, is none; PromptFileError,
            BlockListError: nor is one of prompts or words.
    """
    device = find(run.device, CUDA_OR_CPU)
    tables = (
        pq.read_table(path, columns=["doc_id", "split", "source", "text"]) for path in run.documents
    )
    text = validation_text(tables, run.validation_bytes) if run.documents else NO_TEXT
    instructions = validation_examples(run.instructions, ["messages"], run.max_instructions)
    preferences = validation_examples(
        run.preferences, ["prompt", "chosen", "rejected"], run.max_preferences
    )
    benchmarks = Benchmarks(run, text)
    safety = SafetyChecks(run.safety, run.new_tokens, instructions, run.documents)
    verbatim = VerbatimCheck(run.verbatim)
    known = languages(run.attributes, text.doc_ids)
    scores: list[Score] = []
    items: list[pa.Table] = []
    samples: list[dict[str, str]] = []
    left_out: dict[str, Any] = {}
    measured: dict[str, dict[str, Measure]] = {}

    def on_text(subject: Subject, watched: Callable[[str], Report]) -> Iterator[Measure]:
        size = run.eval_batch_tokens
        if not text.texts:
            return iter(())
        return text_measures(subject, text, known, run.rolling, size, watched)

    for place, named in enumerate(run.models):
        model = open_model(named.folder).to(device)
        encoder = ChatEncoder(named.folder)
        rows = tokenise(encoder, instructions, preferences, model.architecture.context)
        left_out[named.name] = rows.left_out
        with autocast(device, run.precision):
            subject: Subject = OwnModel(model, encoder)
            watched = partial(begin, named.name)
            measures = list(on_text(subject, watched))
            measures += _measures(run, named, model, encoder, rows, begin)
            prompts = held_out_prompts(rows, text, encoder, model.architecture.context)
            measures += verbatim.ask(
                model,
                encoder,
                named.folder,
                prompts,
                run.new_tokens,
                watched,
            )
            measures += benchmarks.ask(named.name, subject, watched)
            measures += safety.ask(named.name, model, encoder, watched)
            talk = OwnTalk(model, encoder)
            replies, too_long = _samples(run, named.name, talk)
            if place == 0:
                going_on, cut = _going_on(run, named.name, model, encoder)
                replies, too_long = [*going_on, *replies], too_long + cut
        items.append(item_table(named.name, measures))
        samples += replies
        left_out[named.name]["prompts"] = {"too_long": too_long} if too_long else {}
        before = measured.get(named.before, {})
        for measure in measures:
            scores.append(_score(run, named.name, measure))
            # Of rates near 0 a bootstrap knows too little; `ingot compare` has exact intervals.
            if measure.metric not in before or is_of_safety(measure.metric):
                continue
            changed = difference(measure, before[measure.metric], run.resamples, run.seed)
            if changed is not None:
                scores.append(Score(named.name, measure.metric + CHANGE, changed))
        measured[named.name] = {measure.metric: measure for measure in measures}
    for other in run.others:
        with autocast(device, run.precision):
            theirs = TransformersModel(other.folder, device)
            watched = partial(begin, other.name)
            measures = list(on_text(theirs, watched))
            measures += benchmarks.ask(other.name, theirs, watched)
            answering = talk_of(theirs)
            measures += safety.behaviour(other.name, answering, watched)
            if answering is not None:
                replies, _ = _samples(run, other.name, answering)
                samples += replies
        items.append(item_table(other.name, measures))
        scores += [_score(run, other.name, measure) for measure in measures]
    for name, reasons in [*benchmarks.left_out.items(), *safety.left_out.items()]:
        left_out.setdefault(name, {}).update(reasons)
    if text.texts:
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
        "tasks": benchmarks.facts,
        "safety": safety.facts,
    }
    return Result(
        score_table(scores),
        pa.concat_tables(items),
        pa.Table.from_pylist(samples, schema=SAMPLES),
        pa.concat_tables([benchmarks.answers, safety.answers]),
        facts,
    )


def _score(run: Run, model: str, measure: Measure) -> Score:
    if is_of_safety(measure.metric):
        return Score(model, measure.metric, wilson(measure))
    return Score(model, measure.metric, estimate(measure, run.resamples, run.seed))


def _measures(
    run: Run,
    named: NamedModel,
    model: AnyModel,
    encoder: ChatEncoder,
    rows: ValidationRows,
    begin: Begin,
) -> Iterator[Measure]:
    """What there are rows for, one metric after the other."""
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


def _samples(run: Run, name: str, talk: Talking) -> tuple[list[dict[str, str]], int]:
    """Answers to the prompts, and how many of these fill the context."""
    replies = answers(talk, run.prompts, run.new_tokens)
    return _rows(name, replies), sum(prompt not in replies for prompt in run.prompts)


def _going_on(
    run: Run, name: str, model: AnyModel, encoder: ChatEncoder
) -> tuple[list[dict[str, str]], int]:
    """Texts that the model goes on with, and how many of them fill the context."""
    found = continued(model, encoder, run.continuations, run.new_tokens)
    return _rows(name, found), sum(text not in found for text in run.continuations)


def _rows(name: str, found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"model": name, "prompt": p, "completion": text} for p, text in found.items()]
