"""The rate of the device at hand: steps of models of three sizes, on random tokens."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.process.events import Progress, log
from llm.process.parent import StopRequest
from llm.tokens.random_rows import random_rows
from llm.training import devices
from llm.training.compilation import compile_blocks, compiled_softmax
from llm.training.distributed import Processes
from llm.training.loss import softmax
from llm.training.memory import free_bytes
from llm.training.memory_estimate import estimate
from llm.training.planner import rules
from llm.training.planner.constant_rate import constant_rate
from llm.training.planner.sizes import find
from llm.training.run_file import Device, Optimiser
from llm.training.single_process import Single
from llm.training.step import Stepper
from llm.training.threads import ThreadTuner

_SIZES = {"cpu": ("nano", "tiny", "20M"), "mps": ("nano", "tiny", "20M")}
_ON_GPUS = ("tiny", "124M", "350M")
# The last rows at once that a processor with little cache is the better for.
_ROWS_ON_CPU = 8
_WARM_UP = 2


@dataclass(frozen=True)
class Measuring:
    """What is measured.

    Attributes:
        sizes: of models; none = those that suit the device.
        seconds: that steps of each are done for, compilation and warm-up apart.
        result: file for what was found.
    """

    device: Device
    precision: Literal["auto", "bf16", "fp32"]
    optimiser: Optimiser
    sizes: tuple[str, ...]
    seconds: float
    scratch: Path
    result: Path


def describe(wanted: str, precision: str) -> tuple[str, str, int, bool]:
    """The device meant: its name, the precision it multiplies in, its memory in bytes, and whether
    that is the machine's own.

    Raises:
        DeviceError: it is not there.
    """
    device = devices.find(wanted)
    kind = devices.precision_on(device, precision)
    return devices.name_of(device), kind, free_bytes(device), device.type != "cuda"


def measure(run: Measuring) -> list[tuple[int, float]]:
    """(parameters, FLOP/s) of each size, as its training steps reach them."""
    device = devices.find(run.device)
    precision = devices.precision_on(device, run.precision)
    names = run.sizes or _SIZES.get(device.type, _ON_GPUS)
    progress, found = Progress(len(names), "size", 0), []
    for done, name in enumerate(names, start=1):
        architecture = find(name).architecture
        tokens_per_second = _tokens_per_second(architecture, run, device, precision)
        flops = tokens_per_second * architecture.flops_per_token(architecture.context)
        log(f"{name}: {tokens_per_second:,.0f} tokens/s, {flops / 1e12:.3g} TFLOP/s in {precision}")
        found.append((architecture.parameters, flops))
        progress.report(done, tokens_per_second=tokens_per_second)
    return found


def _tokens_per_second(
    a: Architecture, run: Measuring, device: torch.device, precision: Literal["bf16", "fp32"]
) -> float:
    rows = rules.batch_tokens(a.parameters, a.context) // a.context
    fit = int(0.8 * free_bytes(device)) // estimate(a, precision, run.optimiser).row
    at_once = max(1, min(rows, fit, _ROWS_ON_CPU if device.type == "cpu" else rows))
    step = _stepper(a, run, device, precision, at_once, rows)
    indices, threads = np.arange(rows), ThreadTuner(device, 0)
    taken, began = list[float](), time.monotonic()
    while len(taken) < _WARM_UP + 2 or time.monotonic() - began < run.seconds:
        before = time.monotonic()
        if len(taken) < _WARM_UP:  # compiles
            step(len(taken), indices).read()
        else:
            with threads.timed(1.0):
                step(len(taken), indices).read()
        taken.append(time.monotonic() - before)
        if len(taken) == _WARM_UP:
            began = time.monotonic()
    # At first numbers of threads are tried.
    return rows * a.context / statistics.median(taken[_WARM_UP:][len(taken) // 2 :] or taken[-1:])


def _stepper(
    a: Architecture, run: Measuring, device: torch.device, precision: Literal["bf16", "fp32"],
    at_once: int, rows: int,
) -> Stepper:  # fmt: skip
    model = Transformer(a)
    initialise(model, 0)
    compiled = compile_blocks(model, run.scratch / "compiled", device)
    strategy = Single(device, Processes(0, 1))
    placed = strategy.wrap(model)
    tokens = random_rows(a.vocabulary_size, a.context, rows)
    return Stepper(
        placed, constant_rate(rows, precision, run.optimiser),
        tokens, device, strategy, at_once, StopRequest(),
        compiled_softmax() if compiled else softmax,
    )  # fmt: skip
