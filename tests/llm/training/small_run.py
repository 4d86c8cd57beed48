"""Packed sequences of real text, and runs over them that take a second."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.parametrisation_choice import STANDARD
from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.tokens import token_file
from llm.tokens.token_file import TokenFile
from llm.training.distributed import Processes
from llm.training.loop import train
from llm.training.meters import MEASURED
from llm.training.run_file import Execution, Optimisation, Paths, Run, Tasks
from llm.training.single_process import Single
from llm.training.step import Stepper
from llm.training.task_items import TASK_ITEMS
from tests.llm.tokens.small_tokenizer import SIZE, library_texts, small_folder, small_tokenizer

torch.set_num_threads(1)

LENGTH = 32
CPU = torch.device("cpu")
ALONE = Single(CPU, Processes(0, 1))
ARCHITECTURE = Architecture(
    vocabulary_size=SIZE,
    hidden_size=32,
    intermediate_size=64,
    layers=2,
    heads=2,
    key_value_heads=1,
    head_dim=16,
    context=LENGTH,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    qk_norm=True,
    tied=True,
)
OPTIMISATION = Optimisation(
    steps=12,
    batch_rows=8,
    optimiser="adamw",
    learning_rate=1e-2,
    schedule="wsd",
    warmup_steps=2,
    decay_share=0.4,
    final_share=0.0,
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.95,
    clip=1.0,
    z_loss=0.0,
    document_mask=False,
    precision="fp32",
    validate_every=5,
    validation_rows=5,
    seed=3,
    outlier_sigmas=6.0,
    parametrisation=STANDARD,
)
EXECUTION = Execution(
    device="cpu",
    threads=1,
    compile=False,
    micro_batch_rows=0,
    checkpoint_seconds=3600.0,
    keep_checkpoints=2,
    parallel="auto",
    activation_checkpointing="none",
    rendezvous_seconds=60.0,
    tensorboard="",
    wandb="off",
    wandb_project="ingot",
    wandb_folder="",
)

NO_TASKS = Tasks(0, "")


def _packed(text: str, split: str, capacity: int) -> list[dict[str, Any]]:
    """Paragraphs end to end; the last row of a split is padded."""
    ids, starts = [], []
    for paragraph in text.split("\n\n"):
        starts.append(len(ids))
        ids += [*small_tokenizer().encode(paragraph, add_special_tokens=False).ids, 0]
    rows = []
    for at in range(0, len(ids), capacity):
        tokens = ids[at : at + capacity]
        cuts = [0, *(s - at for s in starts if at < s < at + len(tokens)), len(tokens)]
        lengths = [end - begin for begin, end in pairwise(cuts)]
        padded = tokens + [3] * (capacity - len(tokens))
        rows.append({"split": split, "tokens": padded, "doc_lengths": lengths})
    return rows


def sequences(folder: Path, length: int = LENGTH) -> Path:
    """A folder with Parquet parts: four modules to train on, a fifth to validate on."""
    folder.mkdir(parents=True, exist_ok=True)
    one, *others = library_texts()
    rows = _packed("\n\n".join(others)[:40_000], "train", length + 1)
    rows += _packed(one[:900], "validation", length + 1)
    kinds = [("tokens", pa.list_(pa.int32())), ("doc_lengths", pa.list_(pa.int32()))]
    table = pa.Table.from_pylist(rows, schema=pa.schema([("split", pa.string()), *kinds]))
    pq.write_table(table, folder / "part0.parquet")
    return folder


def task_file(path: Path) -> Path:
    """Two tasks of lines of the fifth module: which line comes next, and which order is right."""
    encode = small_tokenizer().encode
    lines = [line for line in library_texts()[0].splitlines() if 20 < len(line) < 60][:60]
    ids = [encode(line, add_special_tokens=False).ids[: LENGTH // 2] for line in lines]
    rows: list[dict[str, Any]] = []
    for at in range(0, 40, 2):
        choices = {
            "next_line": [(ids[at], ids[at + step], step == 1) for step in (7, 1, 13)],
            "order": [([0], ids[at], True), ([0], ids[at][::-1], False)],
        }
        rows += [
            {
                "task": task,
                "kind": "multiple_choice" if task == "next_line" else "minimal_pairs",
                "item": f"{at}",
                "prompt": prompt,
                "continuation": continuation,
                "characters": len(lines[at]),
                "right": right,
            }
            for task, made in choices.items()
            for prompt, continuation, right in made
        ]
    pq.write_table(pa.Table.from_pylist(rows, schema=TASK_ITEMS), path)
    return path


def opened(folder: Path) -> TokenFile:
    parts = [sequences(folder / "sequences") / "part0.parquet"]
    return token_file.build(parts, folder / "scratch", "0" * 64, SIZE)


def fresh(architecture: Architecture = ARCHITECTURE) -> Transformer:
    model = Transformer(architecture)
    initialise(model, 0)
    return model


def stepper(
    model: Transformer, tokens: TokenFile, micro_batch_rows: int = 0, **optimisation: Any
) -> Stepper:
    settings = replace(OPTIMISATION, **optimisation)
    return Stepper(model, settings, tokens, CPU, ALONE, micro_batch_rows, never())


def paths(folder: Path) -> Paths:
    return Paths(
        sequences=str(sequences(folder / "sequences")),
        tokenizer=str(small_folder(folder / "tokenizer")),
        start="",
        tokens=str(folder / "scratch"),
        scratch=str(folder / "scratch"),
        model=str(folder / "model"),
        resumable=str(folder / "resumable"),
        metrics=str(folder / "metrics.parquet"),
        result=str(folder / "result.json"),
    )


def run_of(folder: Path, execution: Execution = EXECUTION, **optimisation: Any) -> Run:
    settings = replace(OPTIMISATION, **optimisation)
    return Run("0" * 64, paths(folder), ARCHITECTURE, settings, execution, (), NO_TASKS)


def trained(run: Run) -> dict[str, Any]:
    """Train to the end; the result."""
    train(run, never())
    result: dict[str, Any] = json.loads(Path(run.paths.result).read_text())
    return result


def metrics(run: Run) -> dict[str, dict[int, float]]:
    """name -> step -> value, of what no clock decides."""
    return {name: told for name, told in all_metrics(run).items() if name not in MEASURED}


def all_metrics(run: Run) -> dict[str, dict[int, float]]:
    """name -> step -> value."""
    found: dict[str, dict[int, float]] = {}
    for row in pq.read_table(run.paths.metrics).to_pylist():
        found.setdefault(row["name"], {})[row["step"]] = row["value"]
    return found


def weights(run: Run) -> bytes:
    return (Path(run.paths.model) / "model.safetensors").read_bytes()


class Never(StopRequest):
    """Is never asked, and leaves signals alone."""

    def __init__(self) -> None:
        self.requested = self._held = self._dropping = False


def never() -> StopRequest:
    return Never()


class After(StopRequest):
    """Asked when so many steps are done."""

    def __init__(self, steps: int) -> None:
        self._left, self.requested = steps, False
        self._held = self._dropping = False

    def hold(self) -> None:
        super().hold()
        self._left -= 1
        self.requested = self._left <= 0
