"""What reinforcement learning adds to imitation, on a task whose answers are known: sorting words.

    python benchmarks/learned_by_reward.py

Everything is made from nothing: a tokenizer that knows a dozen words, prompts that list some of
them, a model of 0.1 million parameters. Supervised tuning stops while the model is mediocre; from
there GRPO is told of each answer only whether it is right. Exact match is that of greedy answers to
prompts that neither has seen. The last line is JSON; one row a seed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa
import pyarrow.parquet as pq

from llm.alignment.methods import rlhf, sft
from llm.alignment.reporter import Reporter
from llm.alignment.run_file import parse_run
from llm.model.architecture import Architecture
from llm.model.folder import save
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.tokens.bpe import BpeSettings, train
from llm.tokens.hf_folder import write_folder
from llm.tokens.special_tokens import END_OF_TEXT

WORDS = "ash beech cedar elm fir hazel larch maple oak pine rowan willow".split()  # noqa: SIM905
LISTED = 4
IMITATED, ASKED, HELD_OUT = 4000, 2000, 200
BARS = {"exact_match_gain": 0.30, "largest_kl": 1.0}
MAX_KL = 1.0


class Silent(Reporter):
    """Says nothing: figures are printed at the end."""

    def log(self, message: str) -> None:
        """Not told."""

    def begin(self, total: int, already: int, unit: str = "step") -> None:
        """Not told."""

    def step(self, done: int, **figures: float) -> None:
        """Not told."""


def conversations(seed: int) -> dict[str, list[tuple[str, str]]]:
    """Prompts and answers to imitate, to be asked, and held out; none is in two of them."""
    lists = list(itertools.permutations(WORDS, LISTED))
    random.Random(seed).shuffle(lists)
    pairs = [(f"sort {' '.join(words)}", " ".join(sorted(words))) for words in lists]
    ends = list(itertools.accumulate([IMITATED, ASKED, HELD_OUT]))
    names = ("imitated", "asked", "held out")
    return {
        name: pairs[first:end] for name, first, end in zip(names, [0, *ends], ends, strict=False)
    }


def write(path: Path, **splits: list[tuple[str, str]]) -> Path:
    """A table of instructions."""
    rows = [
        {
            "doc_id": f"{split}{number:031d}",
            "split": split,
            "messages": [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ],
        }
        for split, pairs in splits.items()
        for number, (asked, answer) in enumerate(pairs)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def untrained(folder: Path, seed: int) -> Path:
    """A model that knows nothing, and a tokenizer that knows the words."""
    drawn = random.Random(0)
    # More than a tokenizer needs for these words alone.
    others = ["".join(drawn.choices("aeioustrnlm", k=4)) for _ in range(300)]
    lines = [
        " ".join(["sort", *drawn.sample(WORDS, 6), *drawn.sample(others, 4)]) for _ in range(400)
    ]
    tokenizer = train(lines, BpeSettings(384, 2, 16, "single"))
    folder.mkdir()
    write_folder(tokenizer, folder, END_OF_TEXT)
    shape = Architecture(
        vocabulary_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=192,
        layers=2,
        heads=4,
        key_value_heads=2,
        head_dim=16,
        context=64,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        qk_norm=True,
        tied=True,
    )
    model = Transformer(shape)
    initialise(model, seed)
    save(model, folder / "model", folder, END_OF_TEXT)
    return folder / "model"


def record(
    method: str, model: Path, rows: Path, folder: Path, threads: int, **own: Any
) -> dict[str, Any]:
    """A run file."""
    how = ["checkpoint_seconds", "device", "score_tokens", "threads", "micro_batch_size"]
    return {
        "method": method,
        "model": str(model),
        "examples": [str(rows)],
        "output": str(folder / "model"),
        "results": str(folder / "results"),
        "scratch": str(folder / "scratch"),
        "adopted": "",
        "micro_batch_size": 0,
        "warmup_share": 0.05,
        "weight_decay": 0.0,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "gradient_clip": 1.0,
        "max_length": 0,
        "precision": "fp32",
        "device": "cpu",
        "threads": threads,
        "score_tokens": 2048,
        "checkpoint_seconds": 3600.0,
        "execution": how,
        **own,
    }


def learned(seed: int, folder: Path, o: argparse.Namespace) -> dict[str, Any]:
    """The figures of one seed."""
    folder.mkdir()
    pairs = conversations(seed)
    base = untrained(folder / "base", seed)
    rows = write(folder / "imitated.parquet", train=pairs["imitated"])
    began = time.monotonic()
    tuning = record(
        "sft",
        base,
        rows,
        folder / "sft",
        o.threads,
        epochs=o.sft_epochs,
        learning_rate=o.sft_rate,
        batch_size=32,
        seed=seed,
        schedule="constant",
        long_rows="remove",
        max_truncated=0.0,
        packing="none",
        learn="all",
        weights=[],
        start_from="",
        chat_template="",
        lora_rank=0,
        lora_alpha=16,
        lora_dropout=0.0,
        lora_targets=["all-linear"],
    )
    sft.train(parse_run(tuning, "sft"), Silent(), StopRequest())  # type: ignore[arg-type]
    imitated = time.monotonic()
    exact = {"kind": "exact", "name": "right", "weight": 1.0, "expression": "", "structure": ""}
    exact |= {"minimum": 0, "maximum": 1, "seconds": 1.0, "memory_mb": 64}
    rows = write(folder / "asked.parquet", train=pairs["asked"], validation=pairs["held out"])
    rewarding = record(
        "rlhf",
        folder / "sft" / "model",
        rows,
        folder / "rlhf",
        o.threads,
        epochs=o.epochs,
        learning_rate=o.rate,
        batch_size=o.batch,
        seed=seed,
        schedule="constant",
        algorithm=o.algorithm,
        samples=o.samples,
        max_prompts=0,
        new_tokens=12,
        temperature=1.0,
        beta=o.beta,
        max_kl=MAX_KL,
        rewards=[exact],
        reward_model="",
        samples_every=1_000_000,
        held_out_prompts=HELD_OUT,
    )
    rlhf.train(parse_run(rewarding, "rlhf"), Silent(), StopRequest())  # type: ignore[arg-type]
    counts = json.loads((folder / "rlhf" / "results" / "counts.json").read_text())
    metrics = pq.read_table(folder / "rlhf" / "results" / "metrics.parquet").to_pylist()
    if o.curves:
        for name in ("reward", "kl", "entropy"):
            values = [row["value"] for row in metrics if row["name"] == name]
            print(name, [round(value, 3) for value in values[:: max(1, len(values) // 12)]])
    return {
        "name": f"seed {seed}",
        "exact_match_sft": counts["validation_before"]["validation/reward"],
        "exact_match_rlhf": counts["validation_after"]["validation/reward"],
        "largest_kl": max(means([row["value"] for row in metrics if row["name"] == "kl"])),
        "steps": counts["steps"],
        "sft_seconds": imitated - began,
        "rlhf_seconds": time.monotonic() - imitated,
    }


def means(values: list[float]) -> list[float]:
    """Of each value and those before it, as many as the stage holds against its limit."""
    return [
        sum(values[max(0, end - rlhf.KL_STEPS) : end]) / min(end, rlhf.KL_STEPS)
        for end in range(1, len(values) + 1)
    ]


def main() -> None:
    """Print a line a seed, and the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--algorithm", choices=["grpo", "rloo"], default="grpo")
    parser.add_argument("--sft-epochs", type=int, default=1)
    parser.add_argument("--sft-rate", type=float, default=2e-3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--beta", type=float, default=0.04)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="0 = whichever number is fastest")
    parser.add_argument("--curves", action="store_true", help="print some figures of the way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for seed in range(options.seeds):
            found = learned(seed, Path(folder, str(seed)), options)
            rows.append(found)
            print(
                f"seed {seed}: exact match {found['exact_match_sft']:.1%} after imitation, "
                f"{found['exact_match_rlhf']:.1%} after reward; KL at most "
                f"{found['largest_kl']:.3f} nats a token; {found['steps']} steps; "
                f"{found['sft_seconds']:.0f} + {found['rlhf_seconds']:.0f} s",
                flush=True,
            )
    gain = min(row["exact_match_rlhf"] - row["exact_match_sft"] for row in rows)
    kl = max(row["largest_kl"] for row in rows)
    bars = [
        {"name": "exact_match_gain", "value": gain, "target": BARS["exact_match_gain"]},
        {"name": "largest_kl", "value": kl, "target": BARS["largest_kl"]},
    ]
    bars[0]["holds"] = gain >= BARS["exact_match_gain"]
    bars[1]["holds"] = kl <= BARS["largest_kl"]
    versions = {name: importlib.metadata.version(name) for name in ("torch", "trl", "transformers")}
    record = {"benchmark": "learned_by_reward", "input": f"sort {LISTED} of {len(WORDS)} words"}
    print(json.dumps({**record, "versions": versions, "rows": rows, "bars": bars}))


if __name__ == "__main__":
    main()
