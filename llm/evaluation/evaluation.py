"""Every model of a chain on the same validation text, answers and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.evaluation.bits_per_byte import document_losses
from llm.evaluation.bootstrap import Estimate, difference, estimate
from llm.evaluation.completion_loss import completion_loss
from llm.evaluation.compression import XZ, xz_bits_per_byte
from llm.evaluation.conversations import ValidationRows, tokenise
from llm.evaluation.items import item_table
from llm.evaluation.measure import BITS_PER_BYTE, Measure
from llm.evaluation.preferences import preference_measures
from llm.evaluation.run_file import NamedModel, Run
from llm.evaluation.samples import answers, generated_length
from llm.evaluation.score_tables import (
    CHANGE,
    SAMPLES,
    Score,
    headline,
    score_table,
)
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
    """Tables as in `score_tables` and `items`, and facts for the manifest."""

    scores: pa.Table
    items: pa.Table
    samples: pa.Table
    facts: dict[str, Any]


def evaluate(run: Run, begin: Begin) -> Result:
    """Measure each model, and its difference from the one before.

    Raises:
        NoValidationTextError, ModelFolderError, DeviceError, ItemsError.
    """
    device = find(run.device, CUDA_OR_CPU)
    tables = (pq.read_table(path, columns=["doc_id", "split", "text"]) for path in run.documents)
    text = validation_text(tables, run.validation_bytes)
    instructions = validation_examples(run.instructions, ["messages"], run.max_instructions)
    preferences = validation_examples(
        run.preferences, ["prompt", "chosen", "rejected"], run.max_preferences
    )
    scores: list[Score] = []
    items: list[pa.Table] = []
    samples: list[dict[str, str]] = []
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
        items.append(item_table(named.name, measures))
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
    }
    said = pa.Table.from_pylist(samples, schema=SAMPLES)
    return Result(score_table(scores), pa.concat_tables(items), said, facts)


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
    yield Measure(BITS_PER_BYTE, text.items, losses.bits, losses.sizes.astype(np.float64))
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
