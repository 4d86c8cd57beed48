"""A tiny model, a few conversations, and runs over them."""

from __future__ import annotations

import argparse
import inspect
import json
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.alignment.run_file import parse_run
from llm.model.architecture import Architecture
from llm.model.folder import save
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.tokens.special_tokens import END_OF_TEXT
from tests.llm.tokens.small_tokenizer import SIZE, small_folder

ARCHITECTURE = Architecture(
    vocabulary_size=SIZE,
    hidden_size=64,
    intermediate_size=128,
    layers=2,
    heads=2,
    key_value_heads=1,
    head_dim=32,
    context=128,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    qk_norm=True,
    tied=True,
)


class Listener:
    """Stands in for the reporter: keeps what it is told, and may ask the run to stop at a step."""

    def __init__(self, stop: StopRequest | None = None, stop_at: int = 0) -> None:
        self.messages: list[str] = []
        self.steps: list[int] = []
        self.began: list[tuple[int, int]] = []
        self.units: list[str] = []
        self._stop, self._stop_at = stop, stop_at

    def log(self, message: str) -> None:
        self.messages.append(message)

    def begin(self, total: int, already: int, unit: str = "step") -> None:
        self.units.append(unit)
        if unit == "step":
            self.began.append((total, already))

    def step(self, done: int, **figures: float) -> None:
        if self.units[-1] != "step":
            return
        self.steps.append(done)
        if self._stop is not None and done == self._stop_at:
            self._stop.requested = True


def model_folder(parent: Path) -> Path:
    tokenizer = small_folder(parent / "tokenizer")
    model = Transformer(ARCHITECTURE)
    initialise(model, 7)
    save(model, parent / "model", tokenizer, END_OF_TEXT)
    return parent / "model"


def facts() -> list[tuple[str, str]]:
    """Questions and answers from docstrings of the standard library."""
    pairs = []
    for module in (argparse, textwrap):
        for name, member in sorted(vars(module).items()):
            text = inspect.getdoc(member) if inspect.isclass(member) or callable(member) else None
            if text:
                pairs.append((f"What is {name}?", text.split("\n\n")[0][:100]))
    return pairs


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def instructions(path: Path) -> Path:
    rows = [
        {
            "doc_id": f"{number:032x}",
            "split": "validation" if number % 5 == 0 else "train",
            "messages": [_turn("user", question), _turn("assistant", answer)],
        }
        for number, (question, answer) in enumerate(facts())
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def preferences(path: Path) -> Path:
    given = facts()
    rows = [
        {
            "doc_id": f"{number:032x}",
            "split": "validation" if number % 5 == 0 else "train",
            "prompt": [_turn("user", question)],
            "chosen": [_turn("assistant", answer)],
            "rejected": [_turn("assistant", given[number - 1][1])],
        }
        for number, (question, answer) in enumerate(given)
        if answer != given[number - 1][1]
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def thumbs(path: Path) -> Path:
    """Of every prompt of `preferences` one answer: what was preferred, or what was not."""
    preferences(path)
    rows = [
        {
            **{name: row[name] for name in ("doc_id", "split", "prompt")},
            "answer": row["rejected" if number % 3 == 1 else "chosen"],
            "desirable": number % 3 != 1,
        }
        for number, row in enumerate(pq.read_table(path).to_pylist())
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def polite(path: Path, prompts: int = 60) -> Path:
    """Preferences for the answer that says please, which is the shorter one in every other pair."""
    rows = [
        {
            "doc_id": f"{number:032x}",
            "split": "validation" if number % 3 == 0 else "train",
            "prompt": [_turn("user", f"Ask {number} for number {number * 7 % 31}.")],
            "chosen": [_turn("assistant", f"please give {number * 7 % 31}")],
            "rejected": [
                _turn("assistant", f"return {number * 7 % 31}{' now' * (number % 2 * 8)}")
            ],
        }
        for number in range(prompts)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def reward_part(kind: str, **changes: Any) -> dict[str, Any]:
    """Settings of one reward, named like its kind."""
    return {
        "kind": kind,
        "name": kind,
        "weight": 1.0,
        "expression": "",
        "structure": "",
        "minimum": 0,
        "maximum": 1,
        "seconds": 2.0,
        "memory_mb": 256,
        **changes,
    }


def run_record(method: str, folder: Path, model: Path, examples: Path) -> dict[str, Any]:
    how = ["checkpoint_seconds", "device", "score_tokens", "threads"]
    own: dict[str, dict[str, Any]] = {
        "sft": {
            "learn": "all",
            "packing": "none",
            "start_from": "",
            "chat_template": "",
            "weights": [],
            "execution": [*how, "micro_batch_size"],
        },
        "dpo": {
            "beta": 0.1,
            "loss": "sigmoid",
            "sft_weight": 0.0,
            "length_prompts": 4,
            "max_chosen_drop": 0.0,
            "max_length_growth": 0.0,
            "execution": how,
        },
        "kto": {
            "beta": 0.1,
            "desirable_weight": 1.0,
            "undesirable_weight": 1.0,
            "length_prompts": 4,
            "max_chosen_drop": 0.0,
            "max_length_growth": 0.0,
            "execution": how,
        },
        "reward": {"center_weight": 0.01, "execution": how},
        "rlhf": {
            "algorithm": "grpo",
            "max_prompts": 0,
            "samples": 4,
            "new_tokens": 8,
            "temperature": 1.0,
            "beta": 0.04,
            "max_kl": 10.0,
            "rewards": [reward_part("pattern", expression="[qz]")],
            "reward_model": "",
            "samples_every": 2,
            "held_out_prompts": 8,
            "execution": [*how, "micro_batch_size"],
        },
    }
    if method in ("sft", "dpo"):
        own[method] |= {
            "lora_rank": 0,
            "lora_alpha": 16,
            "lora_dropout": 0.0,
            "lora_targets": ["all-linear"],
        }
    cut = {"long_rows": "cut", "max_truncated": 0.2} if method != "rlhf" else {}
    return (
        own[method]
        | cut
        | {
            "method": method,
            "model": str(model),
            "examples": [str(examples)],
            "output": str(folder / "out"),
            "results": str(folder / "results"),
            "scratch": str(folder / "scratch"),
            "adopted": "",
            "epochs": 1,
            "learning_rate": 3e-3,
            "batch_size": 4,
            "micro_batch_size": 0,
            "warmup_share": 0.1,
            "schedule": "cosine",
            "weight_decay": 0.0,
            "adam_beta1": 0.9,
            "adam_beta2": 0.99,
            "gradient_clip": 1.0,
            "max_length": 96,
            "precision": "fp32",
            "seed": 0,
            "device": "cpu",
            "threads": 1,
            "score_tokens": 512,
            "checkpoint_seconds": 3600.0,
        }
    )


def run_to_the_end(
    method: str,
    folder: Path,
    given: tuple[Path, Path],
    listener: Listener | None = None,
    stop: StopRequest | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Train from a model and examples; what the run counted."""
    run = parse_run(run_record(method, folder, *given) | changes, "test")
    train = import_module(f"llm.alignment.methods.{method}").train
    train(run, listener or Listener(), stop or StopRequest())
    return counts_of(folder)


def metrics(folder: Path, name: str) -> list[float]:
    """A figure of every step that has it."""
    return [row["value"] for row in table(folder, "metrics") if row["name"] == name]


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a table of results."""
    rows: list[dict[str, Any]] = pq.read_table(folder / "results" / f"{name}.parquet").to_pylist()
    return rows


def counts_of(folder: Path) -> dict[str, Any]:
    """What a run counted."""
    found: dict[str, Any] = json.loads((folder / "results" / "counts.json").read_text())
    return found


def quiet(done: int, total: int) -> None:
    """Told how far something is."""
