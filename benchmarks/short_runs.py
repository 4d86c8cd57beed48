"""Many short trainings, as the trainer does them: its steps, batches, schedules and validation.

A core has one run at a time; a model of a million parameters gains little from a second one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.training_text import TrainingText
from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.training import devices
from llm.training.batches import batches_of
from llm.training.distributed import Processes
from llm.training.run_file import Optimisation
from llm.training.single_process import Single
from llm.training.step import Stepper
from llm.training.validation import Validation

Key = tuple[Any, ...]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Job:
    """A training."""

    architecture: Architecture
    optimisation: Optimisation
    text: TrainingText


@dataclass(frozen=True)
class Outcome:
    """What it came to.

    Attributes:
        bits_per_byte: on validation rows at the end; infinite where training diverged.
        seconds: of its steps.
    """

    bits_per_byte: float
    tokens_per_second: float
    seconds: float


def sized(width: int, layers: int, vocabulary_size: int, length: int) -> Architecture:
    """A Qwen3 with heads of 32, two of queries for one of keys where there are several."""
    heads = max(1, width // 32)
    return Architecture(
        vocabulary_size=vocabulary_size,
        hidden_size=width,
        intermediate_size=-(-width * 8 // 96) * 32,
        layers=layers,
        heads=heads,
        key_value_heads=max(1, heads // 2),
        head_dim=32,
        context=length,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        qk_norm=True,
        tied=True,
    )


def train(job: Job) -> Outcome:
    """Train to the end, then validate."""
    tokens, alone = job.text.open(), Single(CPU, Processes(0, 1))
    precision = devices.precision_on(CPU, job.optimisation.precision)
    o = replace(job.optimisation, precision=precision)
    model = Transformer(job.architecture)
    initialise(model, o.seed, o.parametrisation)
    step = Stepper(alone.wrap(model), o, tokens, CPU, alone, 0, StopRequest())
    batches = batches_of(tokens, o, ())
    began = time.perf_counter()
    for number in range(o.steps):
        figures = step(number, batches.indices(number))
    figures.read()
    seconds = time.perf_counter() - began
    validation = Validation(tokens, o, Path(job.text.tokenizer), CPU, StopRequest())
    found = validation(model, step.micro_batch_rows, alone)
    bits = found["validation_bits_per_byte"]
    done = o.steps * o.batch_rows * tokens.sequence_length
    return Outcome(bits if math.isfinite(bits) else math.inf, done / seconds, seconds)


def train_all(jobs: Mapping[Key, Job], workers: int) -> dict[Key, Outcome]:
    """By name; says after each what it came to, and how much time the others will take."""
    found: dict[Key, Outcome] = {}
    began, whole = time.monotonic(), sum(_cost(job) for job in jobs.values())
    for name, outcome in _outcomes(jobs, workers):
        found[name] = outcome
        done = sum(_cost(jobs[each]) for each in found)
        left = (time.monotonic() - began) * (whole - done) / done
        shown = " ".join(map(str, name))
        print(
            f"{len(found):3}/{len(jobs)}  {shown:44} {outcome.bits_per_byte:7.4f} bits per byte  "
            f"{outcome.tokens_per_second:8,.0f} tokens/s  {left / 60:5.1f} min left",
            flush=True,
        )
    return {name: found[name] for name in jobs}


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the largest distance of one of them from it."""
    mean = sum(values) / len(values)
    return mean, max(abs(value - mean) for value in values) if math.isfinite(mean) else math.inf


def _outcomes(jobs: Mapping[Key, Job], workers: int) -> Iterator[tuple[Key, Outcome]]:
    # The long ones first: at the end no core waits for one of them alone.
    names = sorted(jobs, key=lambda name: -_cost(jobs[name]))
    if workers == 1:
        torch.set_num_threads(1)
        for name in names:
            yield name, train(jobs[name])
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        running = {pool.submit(train, jobs[name]): name for name in names}
        for future in as_completed(running):
            yield running[future], future.result()


def _cost(job: Job) -> float:
    """Operations."""
    length = job.architecture.context
    tokens = job.optimisation.steps * job.optimisation.batch_rows * length
    return job.architecture.flops_per_token(length) * tokens
