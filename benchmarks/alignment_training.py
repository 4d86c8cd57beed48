"""One training run of benchmarks/alignment.py, in a process of its own: Ingot's method, or what a
script of TRL's documentation does.

    python benchmarks/alignment_training.py SIDE METHOD FOLDER THREADS SHARE

Prints one JSON line: rows, seconds from rows of messages to a trained model, imports and the
loading of libraries left out, and the most memory the process had.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.learned_by_reward import Silent, record
from benchmarks.quickstart import SHAPE

BATCH, SAMPLES, NEW_TOKENS, RATE = 16, 8, 48, 1e-4
ROWS = {"sft": 768, "short": 3072, "packed": 3072, "dpo": 512, "grpo": 48}
# Words of prompt and answer, fewest and most: a word is about two tokens.
LENGTHS = {"sft": (4, 90), "short": (3, 8), "packed": (3, 8), "dpo": (4, 50), "grpo": (4, 20)}
_LIMIT = 256  # tokens


def conversations(method: str, words: list[str], share: float) -> list[dict[str, Any]]:
    """Rows as Ingot's stages pass them on: of unequal length, from nothing; `share` of them all."""
    drawn = random.Random(method == "dpo")
    fewest, most = LENGTHS[method]

    def said(role: str) -> list[dict[str, str]]:
        # Most are short, as people's are.
        count = int(fewest + (most - fewest) * drawn.random() ** 2)
        return [{"role": role, "content": " ".join(drawn.choices(words, k=count))}]

    rows: list[dict[str, Any]] = []
    for number in range(max(BATCH, round(share * ROWS[method]))):
        head = {"doc_id": f"{number:032x}", "split": "train"}
        prompt = said("user")
        if method == "dpo":
            answers = {name: said("assistant") for name in ("chosen", "rejected")}
            rows.append({**head, "prompt": prompt, **answers})
        else:
            rows.append({**head, "messages": prompt + said("assistant")})
    return rows


def ours(method: str, folder: Path, threads: int, rows: list[dict[str, Any]]) -> Callable[[], None]:
    """As the stages train."""
    # Methods import these where they train: seconds that both sides are spared.
    from trl import DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401

    from llm.alignment.methods import dpo, rlhf, sft
    from llm.alignment.run_file import parse_run
    from llm.process.parent import StopRequest

    # Of this process alone: a run goes on from checkpoints of one like it.
    own_place = folder / f"ours-{os.getpid()}"
    own_place.mkdir()
    path = own_place / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    shared: dict[str, Any] = {
        "epochs": 1,
        "learning_rate": RATE,
        "batch_size": BATCH,
        "seed": 0,
        "schedule": "cosine",
        "max_length": _LIMIT,
    }
    cut = {"long_rows": "cut", "max_truncated": 1.0}
    packing = "bfd" if method == "packed" else "none"
    whole = {"lora_rank": 0, "lora_alpha": 16, "lora_dropout": 0.0, "lora_targets": ["all-linear"]}
    ours = {"start_from": "", "chat_template": ""}
    tuning = {"learn": "all", "packing": packing, "weights": [], **cut, **whole, **ours}
    length = {"kind": "length", "name": "short", "weight": 1.0, "expression": "", "structure": ""}
    length |= {"minimum": 0, "maximum": 16, "seconds": 1.0, "memory_mb": 64}
    own: dict[str, dict[str, Any]] = {
        "dpo": {
            **cut,
            **whole,
            "beta": 0.1,
            "loss": "sigmoid",
            "sft_weight": 0.0,
            "length_prompts": 0,
            "max_chosen_drop": 0.0,
            "max_length_growth": 0.0,
        },
        "grpo": {
            "algorithm": "grpo",
            "batch_size": BATCH * SAMPLES,
            "samples": SAMPLES,
            "max_prompts": 0,
            "new_tokens": NEW_TOKENS,
            "temperature": 1.0,
            "beta": 0.04,
            "max_kl": 1e6,
            "rewards": [length],
            "reward_model": "",
            "samples_every": 1_000_000,
            "held_out_prompts": 0,
        },
    }
    name, train = {"dpo": ("dpo", dpo.train), "grpo": ("rlhf", rlhf.train)}.get(
        method, ("sft", sft.train)
    )
    told = record(
        name, folder / "random", path, own_place, threads, **shared | own.get(method, tuning)
    )
    run = parse_run(told, name)
    how: Any = (run, Silent(), StopRequest())
    return lambda: train(*how)


def theirs(method: str, folder: Path, rows: list[dict[str, Any]]) -> Callable[[], None]:
    """As a script of TRL's documentation does, with the settings of ours."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    place = str(folder / "random")
    shared: dict[str, Any] = {
        "output_dir": str(folder / "theirs"),
        "num_train_epochs": 1,
        "per_device_train_batch_size": BATCH,
        "learning_rate": RATE,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }

    def short(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [max(0.0, 1.0 - max(0, len(ids) - 16) / 16) for ids in completion_ids]

    def run() -> None:
        model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(place)
        trainer: Any
        if method == "dpo":
            columns = ("prompt", "chosen", "rejected")
            pairs = [{name: row[name] for name in columns} for row in rows]
            trainer = DPOTrainer(
                model=model,
                args=DPOConfig(**shared, max_length=_LIMIT, beta=0.1),
                train_dataset=Dataset.from_list(pairs),
                processing_class=tokenizer,
            )
        elif method == "grpo":
            answers = {"per_device_train_batch_size": BATCH * SAMPLES, "beta": 0.04}
            trainer = GRPOTrainer(
                model=model,
                reward_funcs=short,
                args=GRPOConfig(
                    **shared | answers,
                    num_generations=SAMPLES,
                    max_completion_length=NEW_TOKENS,
                ),
                train_dataset=Dataset.from_list([{"prompt": row["messages"][:1]} for row in rows]),
                processing_class=tokenizer,
            )
        else:
            trainer = SFTTrainer(
                model=model,
                args=SFTConfig(**shared, max_length=_LIMIT, packing=method == "packed"),
                train_dataset=Dataset.from_list(
                    [
                        {"prompt": row["messages"][:1], "completion": row["messages"][1:]}
                        for row in rows
                    ]
                ),
                processing_class=tokenizer,
            )
        trainer.train()
        trainer.save_model(str(folder / "theirs" / "model"))

    return run


def main() -> None:
    """Train once."""
    side, method, place, threads, share = sys.argv[1:6]
    folder = Path(place)
    torch.set_num_threads(int(threads))
    words = json.loads((folder / "words.json").read_text())
    rows = conversations(method, words, float(share))
    run = (
        ours(method, folder, int(threads), rows)
        if side == "ingot"
        else theirs(method, folder, rows)
    )
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows": len(rows), "seconds": seconds, "peak_bytes": peak}))


if __name__ == "__main__":
    assert SHAPE.context == _LIMIT
    main()
