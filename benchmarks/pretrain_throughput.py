"""Tokens a second in training: Ingot's step against the same model in transformers.

    python benchmarks/pretrain_throughput.py

Both train a Qwen3 of the same sizes from the same weights, on the same rows, with AdamW and
clipping at 1: Ingot through its `Stepper` (blocks compiled, chunked loss), transformers through
`Qwen3ForCausalLM` as its users write it (whole model compiled, its own loss). Steps of all
variants take turns, so that whatever else the machine does hits them alike; medians are compared.
So do the matrix products of a step alone, which bound what any program could reach: they are
printed with the share of either side's step that they take (`matmul_share`).
All run in the environment Ingot's launcher gives trainers (`--plain-environment`: as it is).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import transformers

from benchmarks.models import Step, ours, theirs
from benchmarks.products import products
from llm.model.architecture import Architecture
from llm.tokens.random_rows import random_rows
from llm.training import devices
from llm.training.planner.constant_rate import constant_rate
from tasks.engine.stage.launch import PACE

LENGTH = 512
ARCHITECTURE = Architecture(
    vocabulary_size=4096,
    hidden_size=256,
    intermediate_size=704,
    layers=6,
    heads=4,
    key_value_heads=2,
    head_dim=64,
    context=LENGTH,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    qk_norm=True,
    tied=True,
)
# How much faster Ingot's best variant is to be than transformers' best, in the precision that the
# device multiplies.
BAR = 1.3
_ROWS_IN_ALL = 256


def measured(
    steps: dict[str, Step], batch_rows: int, warm_up: int, rounds: int
) -> list[dict[str, object]]:
    """Tokens a second of each, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, float] = {}
    for number in range(warm_up + rounds):
        at = number * batch_rows
        rows = np.arange(at, at + batch_rows) % _ROWS_IN_ALL
        # Backwards every second time: who comes first has another neighbour's cache to clear.
        for name in list(steps)[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            losses[name] = steps[name](number, rows)  # reads the loss, so it waits for a GPU
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - began)
    return [
        {
            "name": name,
            "tokens_per_second": round(batch_rows * LENGTH / statistics.median(taken)),
            "slowest": round(batch_rows * LENGTH / max(taken)),
            "fastest": round(batch_rows * LENGTH / min(taken)),
            "last_loss": None if name.startswith("products") else round(losses[name], 4),
        }
        for name, taken in seconds.items()
    ]


def fastest(rows: list[dict[str, object]], precision: str) -> dict[str, float]:
    """Tokens a second of the best variant of either side, and of the products alone."""
    best = {"ingot": 0.0, "transformers": 0.0, "products": 0.0}
    for row in rows:
        side, _, kind = str(row["name"]).split()
        if kind == precision:
            best[side] = max(best[side], float(str(row["tokens_per_second"])))
    return best


def matmul_share(best: dict[str, float]) -> dict[str, float]:
    """The share of its step that either side spends in products, if it does them as fast as they
    are done alone; and `ceiling`, the largest `speed_vs_transformers` that leaves time for them."""
    shares = {side: best[side] / best["products"] for side in ("ingot", "transformers")}
    shares["ceiling"] = best["products"] / best["transformers"]
    return {name: round(value, 3) for name, value in shares.items()}


def bars(best: dict[str, float], precision: str) -> list[dict[str, object]]:
    """How much faster Ingot is, and how much it should be: the best of either side."""
    value = round(best["ingot"] / best["transformers"], 3)
    name = "speed_vs_transformers"
    return [
        {
            "name": name,
            "precision": precision,
            "value": value,
            "target": BAR,
            "holds": value >= BAR,
        }
    ]


def main() -> None:
    """Run, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-rows", type=int, default=8, help="rows of 512 tokens a step")
    parser.add_argument("--rounds", type=int, default=7, help="measured steps of each variant")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before, compilation included")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0 = PyTorch's choice")
    parser.add_argument(
        "--plain-environment", action="store_true", help="not the one trainers are launched in"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    args = parser.parse_args()
    if not args.plain_environment and any(os.environ.get(k) != v for k, v in PACE.items()):
        # The allocator reads it as the process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PACE})
    if args.threads:
        torch.set_num_threads(args.threads)
    device = devices.find(args.device)
    tokens = random_rows(ARCHITECTURE.vocabulary_size, LENGTH, _ROWS_IN_ALL)
    best = devices.precision_on(device, devices.AUTO)
    precisions = ("fp32", "bf16") if best == "bf16" else ("fp32",)  # emulated, bf16 takes minutes
    with tempfile.TemporaryDirectory() as cache:
        steps: dict[str, Step] = {}
        for precision, compiled in itertools.product(precisions, (False, True)):
            o = constant_rate(args.batch_rows, precision)
            name = f"{'compiled' if compiled else 'eager'} {precision}"
            place = Path(cache) if compiled else None
            steps[f"ingot {name}"] = ours(ARCHITECTURE, tokens, o, device, place)
            steps[f"transformers {name}"] = theirs(ARCHITECTURE, tokens, o, device, compiled)
        for precision in precisions:
            alone = products(ARCHITECTURE, args.batch_rows, LENGTH, precision, device)
            steps[f"products alone {precision}"] = alone
        rows = measured(steps, args.batch_rows, args.warm_up, args.rounds)
    print(f"{'':28} {'tokens/s':>10} {'slowest':>10} {'fastest':>10} {'loss':>8}")
    for row in rows:
        figures = [f"{row[key]:>10,}" for key in ("tokens_per_second", "slowest", "fastest")]
        print(f"{row['name']:28} {' '.join(figures)} {row['last_loss'] or '':>8}")
    speeds = fastest(rows, best)
    reached, share = bars(speeds, best), matmul_share(speeds)
    for bar in reached:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']} (bar {bar['target']}: {verdict})")
    print(
        f"matmul_share: products alone take {share['ingot']:.0%} of Ingot's step and "
        f"{share['transformers']:.0%} of transformers'; they allow at most {share['ceiling']}"
    )
    sizes = {**asdict(ARCHITECTURE), "batch_rows": args.batch_rows, "rounds": args.rounds}
    record = {
        "benchmark": "pretrain_throughput",
        "input": {**sizes, "device": str(device), "threads": torch.get_num_threads()},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "rows": [*rows, {"name": "matmul_share", "precision": best, **share}],
        "bars": reached,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
