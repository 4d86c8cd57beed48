"""Training on one GPU: is it right, and how fast is it beside transformers.

    python benchmarks/gpu.py --output results.json
    python benchmarks/gpu.py --device cpu --tiny        # the same, in minutes, anywhere

Needs what `llm.model` and `llm.training` need, and transformers; no network, nothing installed of
Ingot itself. Each case runs in a process of its own, so that one that fails or runs out of memory
costs no other; first all are compiled side by side, then each is measured alone.

- checks: loss and gradient against float32 on a CPU, resume, replay after running out of memory,
  document masks, steps that are skipped without waiting for the GPU (`gpu_checks.py`).
- memory: how many rows at once are found to fit, for a batch that does not.
- sharded: a model that is shared out (FSDP2), by a group of one process, against one that is not.
- kernels: attention by each of PyTorch's backends, and the loss.
- train: tokens a second, MFU and memory at 124 M, 350 M and 1 B parameters and 2,048 tokens, of
  Ingot and of transformers' Qwen3, compiled, at equal batch and micro-batch, with AdamW; at
  124 M also with Muon, and with rows of four documents that do not see each other. Losses of
  steps are given too: on random tokens at a rate without warm-up they soon drift apart, between
  two runs of one program as between two programs; the first ones must agree.
- decode: tokens a second of `generate`.

MFU counts 6 operations a token and matrix parameter, the output matrix included, and 12 L H d T of
attention, not halved for the causal mask, against what the GPU's data sheet says for bfloat16
(`llm/training/peak_flops.py`; 989 TFLOP/s of an H100 or H200).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch.profiler import ProfilerActivity

from benchmarks import gpu_checks, gpu_kernels, models
from llm.model.architecture import Architecture
from llm.model.generation import generate
from llm.tokens.random_rows import random_rows
from llm.training import devices
from llm.training.peak_flops import peak_flops
from llm.training.planner.constant_rate import constant_rate

# Of an H100 or H200, where the device is no GPU that is known.
_USUAL_FLOPS = 989e12
# Bars of MFU in percent, and of the speed beside transformers.
BARS = {"mfu_124m": 36.0, "mfu_350m": 42.0, "mfu_1b": 45.0, "speed_vs_transformers": 1.2}
_LIMIT_SECONDS = 240


def architecture(
    vocabulary: int, hidden: int, layers: int, heads: int, kv: int, ffn: int, length: int
) -> Architecture:
    """A Qwen3 with heads of 128, or of what is left of a smaller hidden size."""
    return Architecture(
        vocabulary_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=ffn,
        layers=layers,
        heads=heads,
        key_value_heads=kv,
        head_dim=min(128, hidden // heads),
        context=length,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        qk_norm=True,
        tied=True,
    )


# Name: architecture, rows a micro-batch, micro-batches a step.
SIZES = {
    "124m": (architecture(32768, 768, 16, 6, 2, 2048, 2048), 16, 4),
    "350m": (architecture(32768, 1024, 24, 8, 4, 3072, 2048), 8, 4),
    "1b": (architecture(65536, 2048, 20, 16, 4, 5632, 2048), 8, 4),
}
TINY = {"tiny": (architecture(512, 64, 2, 2, 1, 128, 128), 2, 2)}
_SIDES = ("ingot", "transformers")
_DOCUMENTS = 4  # of a row, where they are masked


def train(
    size: str, side: str, device: torch.device, tiny: bool, warm: bool, cache: Path
) -> dict[str, Any]:
    """Tokens a second and memory of whole steps; warm: compile and do one step."""
    a, rows, pieces = (TINY if tiny else SIZES)[size]
    precision = devices.precision_on(device, "auto")
    optimiser, masked = "muon" if side == "ingot-muon" else "adamw", side == "ingot-masked"
    o = constant_rate(rows * pieces, precision, optimiser, masked)
    documents = _DOCUMENTS if masked else 1
    tokens = random_rows(a.vocabulary_size, a.context, 4 * rows * pieces, documents)
    began = time.perf_counter()
    if side == "transformers":
        step = models.theirs(a, tokens, o, device, True, rows)
    else:
        step = models.ours(a, tokens, o, device, cache, rows)
    batches = np.arange(len(tokens.train)).reshape(-1, o.batch_rows)
    losses = [step(0, batches[0])]
    first = time.perf_counter() - began
    if warm:
        return {"seconds_to_first_step": round(first, 1)}
    losses.append(step(1, batches[1]))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for number in range(2, 5 if tiny else 9):
        began = time.perf_counter()
        losses.append(step(number, batches[number % len(batches)]))  # read: waits for the GPU
        seconds.append(time.perf_counter() - began)
    rate = o.batch_rows * a.context / statistics.median(seconds)
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    peak = peak_flops(device, "bf16") or _USUAL_FLOPS
    return {
        "parameters": a.parameters,
        "tokens_per_second": round(rate),
        "slowest": round(o.batch_rows * a.context / max(seconds)),
        "mfu_percent": round(100 * rate * a.flops_per_token(a.context) / peak, 2),
        "peak_memory_gib": round(memory / 2**30, 2),
        "step_seconds": round(statistics.median(seconds), 4),
        "losses": [round(loss, 4) for loss in losses],
        "seconds_to_first_step": round(first, 1),
        "batch_rows": o.batch_rows,
        "micro_batch_rows": rows,
        "precision": precision,
    }


def decode(size: str, device: torch.device, tiny: bool) -> dict[str, Any]:
    """Tokens a second of greedy decoding with weights in bfloat16, prompts of equal length."""
    a, _, _ = (TINY if tiny else SIZES)[size]
    model = models.fresh(a).to(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    found: dict[str, Any] = {}
    new = 8 if tiny else 128
    for batch in (1, 64):
        prompts = np.random.default_rng(0).integers(a.vocabulary_size, size=(batch, 32)).tolist()
        generate(model, prompts, 4, ())
        began = time.perf_counter()
        answers = generate(model, prompts, new, ())
        count = sum(len(answer) for answer in answers)
        found[f"tokens_per_second_batch_{batch}"] = round(count / (time.perf_counter() - began))
    return found


def profile(size: str, device: torch.device, tiny: bool, cache: Path) -> dict[str, Any]:
    """Milliseconds of a step of Ingot by kernel, the longest first."""
    a, rows, pieces = (TINY if tiny else SIZES)[size]
    o = constant_rate(rows * pieces, devices.precision_on(device, "auto"))
    tokens = random_rows(a.vocabulary_size, a.context, rows * pieces)
    step = models.ours(a, tokens, o, device, cache, rows)
    batch = np.arange(o.batch_rows)
    for number in range(2):
        step(number, batch)
    on_gpu = device.type == "cuda"
    kind = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with torch.profiler.profile(activities=[kind]) as seen:
        step(2, batch)
    rows_of = []
    for event in seen.key_averages():
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        rows_of.append((round(spent / 1e3, 2), event.count, event.key[:100]))
    rows_of.sort(reverse=True)
    return {"milliseconds": round(sum(row[0] for row in rows_of), 2), "kernels": rows_of[:40]}


def cases(tiny: bool) -> list[str]:
    """Names of all."""
    sizes = list(TINY if tiny else SIZES)
    trained = [f"train {size} {side}" for size in sizes for side in _SIDES]
    trained += [f"train {sizes[0]} ingot-muon", f"train {sizes[0]} ingot-masked"]
    return [
        "checks",
        "memory",
        "sharded",
        "kernels",
        *trained,
        *(f"decode {size}" for size in sizes),
    ]


def run_case(
    name: str, device: torch.device, tiny: bool, warm: bool, cache: Path
) -> dict[str, Any]:
    """One case in this process."""
    match name.split():
        case ["checks"]:
            return gpu_checks.run(device, cache)
        case ["memory"]:
            a, rows, _ = TINY["tiny"] if tiny else SIZES["124m"]
            return gpu_checks.run_memory(device, cache, a, rows if tiny else 32 * rows)
        case ["sharded"]:
            return gpu_checks.run_sharded(device, cache)
        case ["kernels"]:
            shapes = {size: a for size, (a, _, _) in (TINY if tiny else SIZES).items()}
            return gpu_kernels.run(device, shapes, 1 if tiny else 8)
        case ["train", size, side]:
            return train(size, side, device, tiny, warm, cache)
        case ["decode", size]:
            return decode(size, device, tiny)
        case ["profile", size]:
            return profile(size, device, tiny, cache)
    raise SystemExit(f"no case {name!r}")


def launched(name: str, args: argparse.Namespace, cache: Path, warm: bool) -> subprocess.Popen:
    """A case in a process of its own; its last line is JSON."""
    command = [sys.executable, __file__, "--case", name, "--device", args.device]
    command += ["--cache", str(cache)] + ["--tiny"] * args.tiny + ["--warm"] * warm
    variables = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "PYTORCH_ALLOC_CONF": _ALLOCATOR}
    variables["TORCHINDUCTOR_COMPILE_THREADS"] = "4"
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **variables},
    )  # fmt: skip


_ALLOCATOR = "expandable_segments:True"


def result(process: subprocess.Popen) -> dict[str, Any]:
    """What a case printed, or how it failed."""
    try:
        output, _ = process.communicate(timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        return {"failed": f"took over {_LIMIT_SECONDS} s", "output": output[-2000:]}
    lines = output.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"failed": f"exit status {process.returncode}", "output": output[-2000:]}
    return found


def bars(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The figures that are asked for; the speed is that of the size with the least."""
    values: dict[str, float] = {}
    speeds = []
    for size in SIZES:
        one, other = (
            found.get(f"train {size} ingot", {}),
            found.get(f"train {size} transformers", {}),
        )
        if "mfu_percent" in one:
            values[f"mfu_{size}"] = one["mfu_percent"]
            if "tokens_per_second" in other:
                speeds.append(one["tokens_per_second"] / other["tokens_per_second"])
    if speeds:
        values["speed_vs_transformers"] = round(min(speeds), 3)
    return [
        {"name": name, "value": values[name], "target": target, "holds": values[name] >= target}
        for name, target in BARS.items()
        if name in values
    ]


def about(device: torch.device) -> dict[str, Any]:
    """Device and versions."""
    import transformers

    gpu = torch.cuda.get_device_name() if device.type == "cuda" else str(device)
    return {
        "device": gpu,
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "cuda": torch.version.cuda,
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def main() -> None:
    """Run the cases, print a table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="a model that any machine trains")
    parser.add_argument("--only", default="", help="cases whose name has one of these, by commas")
    parser.add_argument("--without", default="", help="no cases whose name has one of these")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--cache", type=Path, help="folder for compiled code, to be used again")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = devices.find(args.device)
    if args.case:
        print(json.dumps(run_case(args.case, device, args.tiny, args.warm, args.cache)))
        return
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder)
        measure(args, device, cache)


def compiled(
    names: list[str], args: argparse.Namespace, cache: Path, began: float
) -> dict[str, dict[str, Any]]:
    """Fill the compiler's cache, as many at once as fit, and do the checks: they time nothing."""
    checks = launched("checks", args, cache, False) if "checks" in names else None
    roomy = torch.cuda.get_device_properties(0).total_memory > 120 << 30
    for sizes in (("124m", "350m"), ("1b",)) if roomy else (("124m",), ("350m",), ("1b",)):
        warm = [name for name in names if name.startswith("train") and name.split()[1] in sizes]
        started = [(name, launched(name, args, cache, True)) for name in warm]
        for name, process in started:
            outcome = json.dumps(result(process))
            print(f"{time.monotonic() - began:6.0f} s  compiled {name}: {outcome}", flush=True)
    return {"checks": result(checks)} if checks else {}


def measure(args: argparse.Namespace, device: torch.device, cache: Path) -> None:
    """All cases that are asked for."""
    began = time.monotonic()
    only, without = (list(filter(None, text.split(","))) for text in (args.only, args.without))
    names = [
        name for name in cases(args.tiny)
        if (not only or any(part in name for part in only))
        and not any(part in name for part in without)
    ]  # fmt: skip
    record: dict[str, Any] = {
        "benchmark": "gpu",
        **about(device),
        "input": {name: asdict(a) for name, (a, _, _) in (TINY if args.tiny else SIZES).items()},
    }
    found: dict[str, dict[str, Any]] = {}
    early = compiled(names, args, cache, began) if device.type == "cuda" else {}
    for name in names:
        found[name] = early.get(name) or result(launched(name, args, cache, False))
        record["seconds"] = round(time.monotonic() - began)
        print(f"{record['seconds']:6} s  {name}: {json.dumps(found[name])}", flush=True)
        record["rows"] = [{"name": name, **outcome} for name, outcome in found.items()]
        record["bars"] = bars(found)
        if args.output:
            args.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for bar in record["bars"]:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']} (bar {bar['target']}: {verdict})")
    print(json.dumps(record))
    if any("failed" in outcome for outcome in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
