"""How long a run stands still for a checkpoint, and what its writing costs the steps beside it.

    python -m benchmarks.checkpoint_pause [--device cpu] [--tiny]

A model of 126 M parameters with AdamW: 1.5 GB of weights and states. `waiting` is what a run pays
that writes and goes on afterwards, `copy` what Ingot's does; `slowdown` is what the steps beside
the writing take longer, which on a CPU that others use too says little. There is no peer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import models
from llm.model.architecture import Architecture
from llm.tokens.random_rows import random_rows
from llm.training import devices
from llm.training.checkpoints import Position
from llm.training.planner.constant_rate import constant_rate
from llm.training.saver import Saver

SMALL = Architecture(
    vocabulary_size=32_768,
    hidden_size=768,
    intermediate_size=2048,
    layers=16,
    heads=6,
    key_value_heads=2,
    head_dim=128,
    context=128,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    qk_norm=True,
    tied=True,
)
TINY = replace(SMALL, vocabulary_size=1000, hidden_size=128, intermediate_size=256, layers=2)
ROWS, TIMED, CHECKPOINTS = 2, 3, 2
TARGET = 0.3  # of the seconds that waiting for the disk takes


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(architecture: Architecture, device: torch.device, folder: Path) -> dict[str, float]:
    """Seconds by name."""
    precision = devices.precision_on(device, "auto")
    tokens = random_rows(architecture.vocabulary_size, architecture.context, 64)
    step = models.stepper(architecture, tokens, constant_rate(ROWS, precision), device, None)
    saver = Saver(folder, {}, 2, step.model, step.optimisers, step.strategy.processes, print)
    rows = np.arange(ROWS)

    def one_step() -> float:
        return _seconds(lambda: step(0, rows), device)

    one_step()
    plain = statistics.median(one_step() for _ in range(TIMED))
    found: dict[str, list[float]] = {"waiting": [], "copy": [], "steps": [], "slowdown": []}
    for number in range(1, 1 + CHECKPOINTS):
        began = time.perf_counter()
        saver.save(Position(2 * number, []))
        saver.finish()
        found["waiting"].append(time.perf_counter() - began)
        found["copy"].append(_seconds(lambda n=number: saver.save(Position(2 * n + 1, [])), device))  # type: ignore[misc]
        meanwhile = []
        while saver.writing:
            meanwhile.append(one_step())
            saver.settle()
        found["steps"].append(len(meanwhile))
        found["slowdown"].append(sum(meanwhile) - plain * len(meanwhile))
    saver.close()
    size = sum(path.stat().st_size for path in folder.glob("*/*")) / len(
        list(folder.glob("step-*"))
    )
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {"bytes": size, "step": plain, **middle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="a model of a few hundred kB")
    arguments = parser.parse_args()
    device = devices.find(arguments.device)
    architecture = TINY if arguments.tiny else SMALL
    with tempfile.TemporaryDirectory() as name:
        found = measure(architecture, device, Path(name))
    print(f"{architecture.parameters / 1e6:.1f} M parameters, {found['bytes'] / 1e9:.2f} GB")
    print(f"a step                        {found['step']:7.3f} s")
    print(f"stands still, waiting         {found['waiting']:7.3f} s")
    print(f"stands still, copying         {found['copy']:7.3f} s")
    print(f"slower steps beside it        {found['slowdown']:7.3f} s in {found['steps']:.0f} steps")
    share = found["copy"] / found["waiting"]
    bar = {"name": "standing_still", "value": share, "target": TARGET, "holds": share <= TARGET}
    record = {
        "benchmark": "checkpoint_pause",
        "input": {"parameters": architecture.parameters, "device": str(device)},
        "versions": {"torch": torch.__version__},
        "rows": [{"name": name, "value": value} for name, value in found.items()],
        "bars": [bar],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
