"""kill -9 in the middle of real stages: what is redone, and that the result is the same."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tests.llm.tokens.small_tokenizer import library_texts
from tests.processes import alive_after

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

FILES, DOCUMENTS, WORDS, STEPS = 10, 250, 300, 60
DATA: dict[str, Any] = {
    "source": {"workers": 2, "sources": [{"name": "texts", "paths": ["texts"]}]},
    "clean": {"workers": 2},
    "dedup": {"workers": 2, "validation_fraction": 0.1},
}
TRAINING: dict[str, Any] = {
    **DATA,
    "tokenizer": {"vocabulary_size": 512, "sample_bytes": 60_000},
    "pack": {"workers": 1, "sequence_length": 64},
    "pretrain": {
        "hidden_size": 64,
        "layers": 2,
        "heads": 2,
        "key_value_heads": 1,
        "batch_tokens": 512,
        "tokens": STEPS * 512,
        "validate_every": 20,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
        "compile": False,
        "checkpoint_seconds": 0.0,
    },
}


def write_rows(folder: Path, name: str, texts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (folder / name).write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 5 MB of made-up prose; every fifth document is another one with three words changed."""
    root = tmp_path_factory.mktemp("corpus")
    draw = random.Random(7)
    words = ["".join(draw.choices("aeioubdfklmnprst", k=draw.randint(3, 9))) for _ in range(4000)]
    texts: list[list[str]] = []
    for number in range(FILES * DOCUMENTS):
        if number % 5 == 4:
            text = list(texts[draw.randrange(len(texts))])
            for place in draw.sample(range(WORDS), 3):
                text[place] = draw.choice(words)
        else:
            text = draw.choices(words, k=WORDS)
        texts.append(text)
    for number in range(FILES):
        chosen = texts[number::FILES]
        write_rows(root / "texts", f"{number}.jsonl", [" ".join(text) for text in chosen])
    (root / "recipe.yaml").write_text(yaml.safe_dump({"name": "killed", **DATA}))
    return root


class Run:
    """A recipe being built in a process of its own."""

    def __init__(self, root: Path, home: Path) -> None:
        self._log = home.with_suffix(".log")
        paths = {"PYTHONPATH": os.pathsep.join(sys.path), "INGOT_ROOT": str(root)}
        recipe = str(root / "recipe.yaml")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.kill_runner", str(home), recipe],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **paths},
            )

    def events(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Listen until an event."""
        assert any(wanted(event) for event in self.events()), self._log.read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def finished(self) -> list[str]:
        """Listen to the end, which must be a good one; the lines logged."""
        logged = [event["log"] for event in self.events() if "log" in event]
        assert self.process.wait() == 0, self._log.read_text()
        return logged


def shards_of_dedup(done: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["stage"] == "dedup" and event.get("done", 0) >= done


def latest(home: Path, stage: str) -> Artifact:
    found = channels.resolve(Store(str(home)), "killed", stage)
    assert found is not None
    return found


def shards(home: Path) -> int:
    """Of dedup: it goes over the parts it reads twice."""
    parts = len(latest(home, "clean").data("documents").parts)
    assert parts > 4, "enough that some wait while others are worked on"
    return 2 * parts


def ids(home: Path) -> dict[str, str]:
    """Of every output of dedup."""
    outputs = latest(home, "dedup").manifest.outputs
    return {name: output.data_id for name, output in outputs.items()}


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    Run(corpus, home).finished()
    removed = latest(home, "dedup").manifest.totals.removed
    assert removed["near"] > FILES * DOCUMENTS / 10, "the corpus gives dedup something to find"
    return ids(home)


def test_a_killed_worker_costs_its_shard_one_try(
    corpus: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run = Run(corpus, home)
    run.until(shards_of_dedup(1))
    # Shards are waiting, so each worker has one: held in its middle, then killed.
    worker = run.children()[0]
    worker.send_signal(signal.SIGSTOP)
    run.until(shards_of_dedup(3))
    worker.send_signal(signal.SIGKILL)
    run.finished()
    timings = latest(home, "dedup").manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (shards(home), 0)
    assert len(list(home.glob("artifacts/dedup/*/0*"))) == 1, "the same attempt went on"
    assert ids(home) == undisturbed


def test_after_a_killed_parent_only_missing_shards_are_built(
    corpus: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run = Run(corpus, home)
    run.until(shards_of_dedup(4))
    workers = run.children()
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    assert workers
    left = alive_after([worker.pid for worker in workers], seconds=2)
    assert not left, "a worker outlived its parent by 2 s"
    done = len(list(home.glob("artifacts/dedup/*/0001/receipts/*.json")))
    assert 4 <= done < shards(home)
    assert not list(home.glob("artifacts/dedup/*/*/manifest.json"))
    assert Run(corpus, home).finished() is not None
    timings = latest(home, "dedup").manifest.timings
    assert (timings.shards_adopted, timings.shards_built) == (done, shards(home) - done)
    assert ids(home) == undisturbed
    print(f"dedup: {done} shards adopted, {shards(home) - done} built")


def model_digest(home: Path) -> str:
    folder = latest(home, "pretrain").data("model").folder()
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_killed_trainer_goes_on_from_its_checkpoint_to_the_same_model(tmp_path: Path) -> None:
    texts = [part for part in library_texts()[0].split("\n\n") if len(part) > 60]
    write_rows(tmp_path / "texts", "0.jsonl", texts)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "killed", **TRAINING}))
    home, other = tmp_path / "home", tmp_path / "other"
    run = Run(tmp_path, home)
    run.until(lambda event: event["stage"] == "pretrain")
    trainer = None
    deadline = time.monotonic() + 120
    while trainer is None or not list(home.glob("artifacts/pretrain/*/scratch/**/step-0000001?")):
        assert time.monotonic() < deadline
        found = [child for child in run.children() if "llm.training" in child.cmdline()]
        trainer = found[0] if found else None
        time.sleep(0.005)
    trainer.send_signal(signal.SIGKILL)
    assert run.process.wait() != 0
    assert not list(home.glob("artifacts/pretrain/*/*/manifest.json"))
    shutil.copytree(home, other, ignore=shutil.ignore_patterns("pretrain"))
    logged = " ".join(Run(tmp_path, home).finished())
    told = re.search(r"resumes from the checkpoint of step (\d+)", logged)
    assert told is not None, logged
    assert 10 <= int(told[1]) < STEPS
    assert f"steps {int(told[1]) + 1} to {STEPS}" in logged
    facts = latest(home, "pretrain").facts["training"]
    assert facts["resumed_from_step"] == int(told[1])
    Run(tmp_path, other).finished()
    assert model_digest(home) == model_digest(other)
    print(f"pretrain: steps 1 to {told[1]} kept, {int(told[1]) + 1} to {STEPS} trained again")
