"""Answers drawn for reinforcement learning, tokens a second: Ingot's against TRL's default.

    python benchmarks/alignment.py

Both draw the same numbers of answers to the same prompts, at temperature 1, from the quickstart's
model with random weights, whose answers hardly ever end before their last token, in turns and with
the same number of threads. TRL's are those of its own GRPOTrainer, which asks transformers'
generate; Ingot's are those of the stage rlhf. A row a side, and the bar rollout_vs_trl: of the
fastest rounds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import random
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

BARS = {"rollout_vs_trl": 3.0}
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
            str(folder / "trl"),
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


def main() -> None:
    """Print a table, and the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
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
        sides = {
            "ingot": ours(folder, asked, options.new_tokens),
            "trl": theirs(folder, asked, options.new_tokens, options.samples),
        }
        rows = measured(sides, options.rounds)
    for row in rows:
        print(f"{row['name']:20}{row['tokens_per_second']:12,.0f} tokens/s")
    value = rows[0]["tokens_per_second"] / rows[1]["tokens_per_second"]
    target = BARS["rollout_vs_trl"]
    print(f"rollout_vs_trl      {value:12.2f}, wanted {target:g}")
    names = ("torch", "trl", "transformers")
    record = {
        "benchmark": "alignment",
        "input": f"{options.prompts} prompts of {PROMPT_TOKENS[0]} to {PROMPT_TOKENS[1]} tokens, "
        f"{options.samples} answers of {options.new_tokens} each, "
        f"{torch.get_num_threads()} threads",
        "versions": {name: importlib.metadata.version(name) for name in names},
        "rows": rows,
        "bars": [
            {"name": "rollout_vs_trl", "value": value, "target": target, "holds": value >= target}
        ],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
