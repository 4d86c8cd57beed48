"""What a judge run is told: run.json as one frozen record. The key is not in it: it stays in the
environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm.evaluation.judge.rubric import Criterion
from llm.evaluation.run_file import NamedModel
from llm.process.run_file import from_record, read_record
from llm.training.run_file import CudaOrCpu


@dataclass(frozen=True)
class JudgedFile:
    """A file, and what it is called: a model of a file of answers, the file of one of pairs."""

    name: str
    path: Path


@dataclass(frozen=True)
class Run:
    """One judging.

    Attributes:
        models: of the chain; they answer validation prompts.
        instructions, preferences: Parquet files; only validation rows are used.
        answers: files of other models' answers; `pairs`: files of pairs, labelled or not.
        against: the model all others are compared with; "" = each with the one before.
        criteria: measures a verdict is asked by.
        compare: pairs of models are compared; `grade`: each answer is graded by itself.
        max_prompts: validation prompts the models answer.
        max_preferences: validation pairs whose human choice is put to the judge; 0 = none.
        new_tokens: longest answer.
        base_url, model, max_reply_tokens, temperature: see `endpoint.py`.
        key_variable: of the environment, that holds the key; "" = no key.
        timeout, tries, first_wait, longest_retry_after: see `endpoint.Access`.
        concurrency, max_calls, again: see `asking.Limits`.
        price_prompt, price_reply: of a million tokens; `currency` they are in.
        resamples, seed: of the bootstrap.
        replies: the folder that keeps replies from run to run.
        results: a folder for a Parquet file a table, and facts.json.
    """

    models: tuple[NamedModel, ...]
    instructions: tuple[Path, ...]
    preferences: tuple[Path, ...]
    answers: tuple[JudgedFile, ...]
    pairs: tuple[JudgedFile, ...]
    against: str
    criteria: tuple[Criterion, ...]
    compare: bool
    grade: bool
    max_prompts: int
    max_preferences: int
    new_tokens: int
    base_url: str
    model: str
    max_reply_tokens: int
    temperature: float
    key_variable: str
    timeout: float
    tries: int
    first_wait: float
    longest_retry_after: float
    concurrency: int
    max_calls: int
    again: bool
    price_prompt: float
    price_reply: float
    currency: str
    resamples: int
    seed: int
    threads: int
    device: CudaOrCpu
    replies: Path
    results: Path


def read(path: Path) -> Run:
    """The run a file describes.

    Raises:
        RunFileError: see `llm.process.run_file`.
    """
    return from_record(Run, read_record(path), str(path))
