"""Tokens a second in training: Ingot's step against the same model in transformers.

    python benchmarks/pretrain_throughput.py

Both train a Qwen3 of the same sizes from the same weights, on the same rows, with AdamW and
clipping at 1: Ingot through its `Stepper` (blocks compiled, chunked loss), transformers through
`Qwen3ForCausalLM` as its users write it (whole model compiled, its own loss). Steps of all
variants take turns, so that whatever else the machine does hits them alike; medians are compared.
All run in the environment Ingot's launcher gives trainers (`--plain-environment`: as it is).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import transformers

from llm.lifeline import StopRequest
from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.tokens.scratch import TokenFile
from llm.training import devices, optimisers
from llm.training.compilation import compile_blocks
from llm.training.processes import Processes
from llm.training.run_file import Optimisation
from llm.training.step import Stepper, read_rows
from tasks.engine.launch import PACE

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
VARIANTS = (("fp32", False), ("bf16", False), ("bf16", True))
_ROWS_IN_ALL = 256

Step = Callable[[int, np.ndarray], float]


def optimisation(batch_rows: int, precision: str) -> Optimisation:
    """A constant learning rate; nothing is validated."""
    return Optimisation(
        steps=10**6,
        batch_rows=batch_rows,
        optimiser="adamw",
        learning_rate=1e-3,
        schedule="wsd",
        warmup_steps=0,
        decay_share=1e-6,
        final_share=1.0,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        z_loss=0.0,
        document_mask=False,
        precision=precision,
        validate_every=10**6,
        validation_rows=0,
        seed=0,
    )


def random_tokens() -> TokenFile:
    """Rows of random tokens: what they say does not change how long a step takes."""
    shape = (_ROWS_IN_ALL, LENGTH + 1)
    drawn = np.random.default_rng(0).integers(ARCHITECTURE.vocabulary_size, size=shape)
    rows, full = drawn.astype(np.uint16), np.full(_ROWS_IN_ALL, LENGTH + 1, dtype=np.int32)
    nothing = np.empty(0, dtype=np.int32)
    return TokenFile(
        folder=Path(),
        data_id="",
        vocabulary_size=ARCHITECTURE.vocabulary_size,
        sequence_length=LENGTH,
        train=rows,
        validation=rows[:0],
        lengths={"train": full, "validation": nothing},
        starts={"train": np.zeros(_ROWS_IN_ALL, dtype=np.int32), "validation": nothing},
        bounds={"train": np.arange(_ROWS_IN_ALL + 1), "validation": np.zeros(1, dtype=np.int64)},
    )


def fresh() -> Transformer:
    """The weights both start from."""
    model = Transformer(ARCHITECTURE)
    initialise(model, 0)
    return model


def ours(
    tokens: TokenFile, o: Optimisation, compiled: bool, cache: Path, device: torch.device
) -> Step:
    """Ingot's step."""
    model = fresh().to(device)
    if compiled and not compile_blocks(model, cache, device):
        raise SystemExit("this machine compiles nothing; there is nothing to compare")
    step = Stepper(model, o, tokens, device, Processes(0, 1), 0, StopRequest())
    return lambda number, rows: step(number, rows)["loss"]


def theirs(tokens: TokenFile, o: Optimisation, compiled: bool, device: torch.device) -> Step:
    """A step of transformers' model, with the same optimiser, learning rate and clipping."""
    a = ARCHITECTURE
    config = transformers.Qwen3Config(
        vocab_size=a.vocabulary_size,
        hidden_size=a.hidden_size,
        intermediate_size=a.intermediate_size,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.key_value_heads,
        head_dim=a.head_dim,
        max_position_embeddings=a.context,
        rope_parameters={"rope_type": "default", "rope_theta": a.rope_theta},
        rms_norm_eps=a.norm_eps,
        tie_word_embeddings=a.tied,
        use_cache=False,
    )
    model = transformers.Qwen3ForCausalLM(config).to(device)
    model.load_state_dict(fresh().state_dict())
    if compiled:
        model.compile(dynamic=False)
    [optimiser] = optimisers.build(model, o)

    def step(number: int, rows: np.ndarray) -> float:
        batch = read_rows(tokens, "train", rows, False, device)
        with devices.autocast(device, o.precision):
            # `shift_labels` are the targets as they are: both lose on the same positions.
            loss = model(batch.inputs, labels=batch.targets, shift_labels=batch.targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), o.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


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
            "last_loss": round(losses[name], 4),
        }
        for name, taken in seconds.items()
    ]


def bars(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """How much faster Ingot is, and how much it should be."""
    speed = {str(row["name"]): float(str(row["tokens_per_second"])) for row in rows}
    targets = {"eager fp32": 0.95, "eager bf16": 0.95, "compiled bf16": 1.2}
    found = []
    for name, target in targets.items():
        value = round(speed[f"ingot {name}"] / speed[f"transformers {name}"], 3)
        bar = {"name": f"{name}, ingot / transformers", "value": value, "target": target}
        found.append({**bar, "holds": value >= target})
    return found


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
    given = parser.parse_args()
    if not given.plain_environment and any(os.environ.get(k) != v for k, v in PACE.items()):
        # The allocator reads it as the process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PACE})
    if given.threads:
        torch.set_num_threads(given.threads)
    device, tokens = devices.find(given.device), random_tokens()
    with tempfile.TemporaryDirectory() as cache:
        steps: dict[str, Step] = {}
        for precision, compiled in VARIANTS:
            o = optimisation(given.batch_rows, precision)
            name = f"{'compiled' if compiled else 'eager'} {precision}"
            steps[f"ingot {name}"] = ours(tokens, o, compiled, Path(cache), device)
            steps[f"transformers {name}"] = theirs(tokens, o, compiled, device)
        rows = measured(steps, given.batch_rows, given.warm_up, given.rounds)
    print(f"{'':28} {'tokens/s':>10} {'slowest':>10} {'fastest':>10} {'loss':>8}")
    for row in rows:
        figures = [f"{row[key]:>10,}" for key in ("tokens_per_second", "slowest", "fastest")]
        print(f"{row['name']:28} {' '.join(figures)} {row['last_loss']:>8}")
    reached = bars(rows)
    for bar in reached:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']} (bar {bar['target']}: {verdict})")
    sizes = {**asdict(ARCHITECTURE), "batch_rows": given.batch_rows, "rounds": given.rounds}
    record = {
        "benchmark": "pretrain_throughput",
        "input": {**sizes, "device": str(device), "threads": torch.get_num_threads()},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "rows": rows,
        "bars": reached,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
