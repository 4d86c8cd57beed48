"""Ingot's alignment against plain scripts of TRL, on the same model and the same data in one run.

    python benchmarks/alignment.py

Training (sft, dpo, reinforcement learning by a rule) is timed from rows of messages to a trained
model, each run in a process of its own (benchmarks/alignment_training.py), the sides in turns:
rows, pairs or prompts a second, and the most memory. Short rows are also packed. Rollouts: the same
numbers of answers to the same prompts, at temperature 1, from the quickstart's model with random
weights, whose answers hardly ever end before their last token; TRL's are those of its own
GRPOTrainer, which asks transformers' generate, Ingot's those of the stage rlhf. All with the same
number of threads.

Bars, of the fastest rounds: sft_vs_trl, dpo_vs_trl (rows, pairs a second), packing_gain (short rows
a second, packed, over TRL's script without packing), rollout_vs_trl (tokens a second).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.quickstart import SHAPE, random_folder
from llm.alignment.rollouts import draw, sampling_of
from llm.alignment.transformers_model import transformers_model
from llm.model.folder import load
from llm.tokens.chat import ChatEncoder
from llm.tokens.special_tokens import TURN_END

BARS = {"sft_vs_trl": 1.0, "dpo_vs_trl": 1.0, "packing_gain": 2.0, "rollout_vs_trl": 3.0}
METHODS = ("sft", "dpo", "short", "packed", "grpo")
SIDES = ("ingot", "trl")
PROMPT_TOKENS = (16, 64)  # shortest and longest

Rollouts = Callable[[int], Sequence[Sequence[int]]]  # answers of a step


def prompts(count: int, samples: int) -> list[list[int]]:
    """`count` of several lengths, each as often as it is answered."""
    drawn = random.Random(0)
    found = []
    for _ in range(count):
        length = drawn.randint(*PROMPT_TOKENS)
        found += [[drawn.randrange(300, SHAPE.vocabulary_size) for _ in range(length)]] * samples
    return found


def ours(folder: Path, asked: Sequence[Sequence[int]], new_tokens: int) -> Rollouts:
    """As the stage draws them."""
    model, stops = load(folder), ChatEncoder(folder).stops

    def run(step: int) -> Sequence[Sequence[int]]:
        drawn = draw(model, asked, new_tokens, stops, sampling_of(1.0, 0, step))
        return [answer.tokens for answer in drawn]

    return run


def theirs(folder: Path, asked: Sequence[Sequence[int]], new_tokens: int, samples: int) -> Rollouts:
    """As TRL's trainer draws them."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def worth(completions: Sequence[str], **_: Any) -> list[float]:
        return [float(len(completion)) for completion in completions]

    trainer = GRPOTrainer(
        model=transformers_model(load(folder), folder),
        reward_funcs=worth,
        args=GRPOConfig(
            str(folder.parent / "trl"),
            per_device_train_batch_size=len(asked),
            num_generations=samples,
            max_completion_length=new_tokens,
            temperature=1.0,
            beta=0.0,
            bf16=False,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["a prompt"] * len(asked)}),
        processing_class=ChatEncoder(folder).tokenizer,
    )

    def run(step: int) -> Sequence[Sequence[int]]:
        torch.manual_seed(step)
        found: list[list[int]] = trainer._generate_single_turn(asked, None, {}, samples)[0]
        return found

    return run


def measured(sides: dict[str, Rollouts], rounds: int) -> list[dict[str, Any]]:
    """Each side's fastest round, after one that is not counted."""
    best = dict.fromkeys(sides, 0.0)
    for step in range(rounds + 1):
        for name, run in sides.items():
            began = time.perf_counter()
            tokens = sum(len(answer) for answer in run(step))
            rate = tokens / (time.perf_counter() - began)
            if step:
                best[name] = max(best[name], rate)
    return [{"name": f"rollouts {name}", "tokens_per_second": rate} for name, rate in best.items()]


def trained(
    folder: Path, methods: Sequence[str], share: float, threads: int, rounds: int
) -> list[dict[str, Any]]:
    """The fastest round of every method and side."""
    script = Path(__file__).with_name("alignment_training.py")
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(rounds):
        for method in methods:
            for side in SIDES:
                done = subprocess.run(
                    [
                        sys.executable,
                        str(script),
                        side,
                        method,
                        str(folder),
                        str(threads),
                        str(share),
                    ],
                    capture_output=True,
                    text=True,
                    env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
                    check=False,
                )
                if done.returncode:
                    sys.exit(f"{side} {method} failed:\n{done.stderr[-4000:]}")
                found = json.loads(done.stdout.splitlines()[-1])
                before = best.get((method, side))
                if before is None or found["seconds"] < before["seconds"]:
                    best[method, side] = found
    return [
        {
            "name": f"{method} {side}",
            "per_second": found["rows"] / found["seconds"],
            "seconds": found["seconds"],
            "peak_mb": found["peak_bytes"] / 1e6,
        }
        for (method, side), found in best.items()
    ]


def values(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The bars of what was measured, by name."""
    rate = {row["name"]: row.get("per_second", row.get("tokens_per_second")) for row in rows}
    pairs = {
        "sft_vs_trl": ("sft ingot", "sft trl"),
        "dpo_vs_trl": ("dpo ingot", "dpo trl"),
        "packing_gain": ("packed ingot", "short trl"),
        "rollout_vs_trl": ("rollouts ingot", "rollouts trl"),
    }
    measured = rate.keys()
    return {
        name: rate[ours] / rate[theirs]
        for name, (ours, theirs) in pairs.items()
        if {ours, theirs} <= measured
    }


def main() -> None:
    """Print a table, and the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="of rollouts")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--training-rounds", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows trained on")
    parser.add_argument("--threads", type=int, default=0, help="0 = PyTorch's default")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    asked = prompts(options.prompts, options.samples)
    drawn = random.Random(1)
    words = ["".join(drawn.choices("aeioustrnlm", k=6)) for _ in range(6_000)]
    texts = [" ".join(drawn.choices(words, k=20)) for _ in range(3_000)]
    with tempfile.TemporaryDirectory() as place:
        folder = random_folder(Path(place), texts, 1.0, TURN_END)
        (folder.parent / "words.json").write_text(json.dumps(words[:2_000]))
        sides = {
            "ingot": ours(folder, asked, options.new_tokens),
            "trl": theirs(folder, asked, options.new_tokens, options.samples),
        }
        rows = measured(sides, options.rounds)
        rows += trained(
            folder.parent,
            options.methods,
            options.share,
            torch.get_num_threads(),
            options.training_rounds,
        )
    for row in rows:
        if "seconds" in row:
            print(
                f"{row['name']:20}{row['per_second']:12,.1f} a second{row['seconds']:10.1f} s"
                f"{row['peak_mb']:10,.0f} MB"
            )
        else:
            print(f"{row['name']:20}{row['tokens_per_second']:12,.0f} tokens/s")
    bars = [
        {"name": name, "value": value, "target": BARS[name], "holds": value >= BARS[name]}
        for name, value in values(rows).items()
    ]
    for bar in bars:
        print(f"{bar['name']:20}{bar['value']:12.2f}, wanted {bar['target']:g}")
    names = ("torch", "trl", "transformers")
    record = {
        "benchmark": "alignment",
        "input": f"{options.prompts} prompts of {PROMPT_TOKENS[0]} to {PROMPT_TOKENS[1]} tokens, "
        f"{options.samples} answers of {options.new_tokens} each, "
        f"{torch.get_num_threads()} threads",
        "versions": {name: importlib.metadata.version(name) for name in names},
        "rows": rows,
        "bars": bars,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
