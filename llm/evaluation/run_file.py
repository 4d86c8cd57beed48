"""What an evaluation is told: run.json as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm.evaluation.safety.told import Safety
from llm.evaluation.tasks.definition import Definition
from llm.process.run_file import RunFileError, from_record, read_record
from llm.training.run_file import CudaOrCpu

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class NamedModel:
    """A model folder under the name its scores carry."""

    name: str
    folder: Path


@dataclass(frozen=True)
class ChainModel(NamedModel):
    """A model of a chain.

    Attributes:
        before: the one it is compared with, which stands before it; "" = none.
    """

    before: str


@dataclass(frozen=True)
class Verbatim:
    """What of answers stands word for word in training: how much is measured.

    Attributes:
        index: folder of the blocks of each set, none or one.
        prompts: so many of validation are answered; 0 = none.
        tokens: of the shortest span that counts.
    """

    index: tuple[Path, ...]
    prompts: int
    tokens: int


@dataclass(frozen=True)
class Run:
    """One evaluation.

    Attributes:
        models: of the chain.
        others: models that transformers computes, compared with none.
        documents, instructions, preferences: Parquet files; only validation rows are used.
        attributes: Parquet files with the documents' languages, if these are asked for.
        tasks: benchmarks; `lm_eval_tasks`, `lm_eval_files`: those of lm-eval, by name and as
            files; `max_items`: items of each, the first ones; 0 = all.
        held_out_items: of the two tasks made from validation text; 0 = without these.
        rolling: measure bits per byte as lm-eval does, too.
        verbatim: what of answers stands word for word in training.
        safety: refusals, words of abuse, memorised addresses.
        validation_bytes: of documents that are scored.
        max_instructions, max_preferences: validation rows and pairs scored.
        max_generated: validation prompts answered to measure the length of answers.
        prompts: asked of every model; `continuations`: texts the first model goes on with.
        new_tokens: longest answer.
        resamples, seed: of the bootstrap.
        eval_batch_tokens: padded tokens a batch.
        threads: of the CPU; 0 = the number that is fastest.
        device: auto, cpu or cuda; `precision`: fp32, or bf16 = autocast over float32 weights.
        results: a folder for a Parquet file each of scores, items, samples and answers, and
            facts.json.
    """

    models: tuple[ChainModel, ...]
    others: tuple[NamedModel, ...]
    documents: tuple[Path, ...]
    instructions: tuple[Path, ...]
    preferences: tuple[Path, ...]
    attributes: tuple[Path, ...]
    tasks: tuple[Definition, ...]
    lm_eval_tasks: tuple[str, ...]
    lm_eval_files: tuple[Path, ...]
    max_items: int
    held_out_items: int
    rolling: bool
    safety: Safety
    verbatim: Verbatim
    validation_bytes: int
    max_instructions: int
    max_preferences: int
    max_generated: int
    prompts: tuple[str, ...]
    continuations: tuple[str, ...]
    new_tokens: int
    resamples: int
    seed: int
    eval_batch_tokens: int
    threads: int
    device: CudaOrCpu
    precision: Precision
    results: Path


def read(path: Path) -> Run:
    """The run a file describes.

    Raises:
        RunFileError: see `llm.process.run_file`; or there is no model.
    """
    run = from_record(Run, read_record(path), str(path))
    if not run.models and not run.others:
        raise RunFileError(f"{path}: models and others are empty; name at least one")
    return run
