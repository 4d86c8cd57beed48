"""Tasks within pretraining, through the engine: curves, cost, and what is refused."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tasks.engine.config import StageConfig
from tasks.engine.errors import ExternalInputError
from tasks.engine.run.execute import BuildResult
from tasks.panels.panels import Curve
from tasks.stages import pack, pretrain, tokenizer
from tasks.stages.pack import PackConfig
from tasks.stages.pretrain import externals
from tasks.stages.pretrain_config import PretrainConfig
from tasks.stages.pretrain_data import UntrainableError
from tasks.stages.pretrain_panels import panels
from tests.llm.training.test_task_scores import PROSE, WORDS
from tests.tasks.documents_stage import DEDUP, built_on
from tests.tasks.split_documents import built as documents_of
from tests.tasks.split_documents import document
from tests.tasks.stages.test_pretrain_stage import TINY, TOKENIZER

STAGES = (DEDUP, tokenizer.STAGE, pack.STAGE, pretrain.STAGE)
PACK = PackConfig(sequence_length=128, workers=1)
# 2,048 tokens a step, 12 steps; tasks are dear for so small a run.
SMALL = {**TINY, "tokens": 12 * 2048, "batch_tokens": 2048, "task_share": 10.0}


def built(folder: Path, config: StageConfig, held_out: bool = True) -> BuildResult:
    rows = [
        document(
            f"{PROSE.format(*(WORDS[(number * step) % 10] for step in (1, 3, 7, 9)))} {number}.",
            "docs",
            "validation" if held_out and number % 3 == 0 else "train",
        )
        for number in range(120)
    ]
    if not (folder / "documents").exists():
        documents_of(folder, [rows])
    stages = {"tokenizer": TOKENIZER, "pack": PACK, "pretrain": config}
    return built_on(folder / "home", STAGES, folder / "documents", stages)["pretrain"]


def quiz(folder: Path, **changes: Any) -> str:
    settings = {
        "kind": "multiple_choice",
        "files": ["quiz.jsonl"],
        "prompt": "{{q}}",
        "choices": "options",
        "answer": "right",
        **changes,
    }
    records = [
        {"q": f"The {word} stood at the", "options": ["river", word, "rain"], "right": 0}
        for word in WORDS
    ]
    (folder / "quiz.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in records))
    (folder / "quiz.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "quiz.yaml")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


def test_curves_facts_and_panels(home: Path) -> None:
    config = PretrainConfig(**SMALL, tasks_every=5, task_items=8, tasks=[quiz(home)])
    artifact = built(home, config).artifact
    assert set(artifact.manifest.inputs) == {"sequences", "tokenizer", "documents"}
    assert set(artifact.manifest.externals) == {"task:quiz"}
    rows = artifact.data("metrics").table().to_pylist()
    asked: dict[str, list[int]] = {}
    for row in rows:
        if "/" in row["name"]:
            asked.setdefault(row["name"], []).append(row["step"])
            assert 0 <= row["value"] <= 1
    choices = ("quiz/acc", "quiz/acc_norm", "next_sentence/acc", "next_sentence/acc_norm")
    assert set(asked) == {*choices, "word_order/acc"}
    assert all(steps == [5, 10, 12] for steps in asked.values())
    facts = artifact.facts["tasks"]
    assert {name: task["items"] for name, task in facts["tasks"].items()} == {
        "next_sentence": 8,
        "word_order": 8,
        "quiz": 8,
    }
    assert facts["tasks"]["quiz"]["chance"] == pytest.approx(1 / 3)
    assert 0 < facts["share_of_operations"] < 10
    assert 0 < artifact.facts["training"]["task_share"] < 1
    shown = {panel.title: panel for panel in panels(artifact)}
    curve = shown["Tasks"]
    assert isinstance(curve, Curve)
    assert set(curve.series) == set(asked)
    assert "quiz 0.33 (8 items)" in curve.note


def test_what_takes_too_much_is_refused_with_what_would_do(home: Path) -> None:
    config = PretrainConfig(**{**SMALL, "task_share": 0.2}, tasks_every=1, task_items=8)
    with pytest.raises(UntrainableError) as caught:
        built(home, config)
    found = re.search(r"([\d,]+) tokens every 1 steps are .* set it to (\d+),", str(caught.value))
    assert found is not None
    tokens, enough = (int(number.replace(",", "")) for number in found.groups())

    def share(every: int) -> float:
        return math.ceil(12 / every) * tokens / (12 * 2048 * 3)

    assert share(enough) <= 0.2 < share(enough - 1)


def test_a_record_that_is_no_item(home: Path, tmp_path: Path) -> None:
    config = PretrainConfig(**SMALL, tasks_every=5, tasks=[quiz(tmp_path, choices="opts")])
    with pytest.raises(UntrainableError, match=r"pretrain\.tasks: .*quiz\.jsonl:1: 'opts'"):
        built(home, config)


def test_nothing_to_ask(tmp_path: Path) -> None:
    config = PretrainConfig(**SMALL, tasks_every=5)
    with pytest.raises(UntrainableError, match=r"nothing to ask.*dedup\.validation_fraction"):
        built(tmp_path, config, held_out=False)


def test_what_the_config_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="tasks_every: 0 asks no tasks"):
        PretrainConfig(tasks=["quiz.yaml"])
    talk = quiz(tmp_path, kind="exact_match", choices="", answer="", target="{{q}}")
    settings = yaml.safe_load(Path(talk).read_text())
    kept = {name: value for name, value in settings.items() if value}
    Path(talk).write_text(yaml.safe_dump(kept))
    with pytest.raises(ExternalInputError, match=r"pretrain\.tasks: quiz is of kind exact_match;"):
        externals(PretrainConfig(tasks_every=5, tasks=[talk]))
    assert not {"tasks_every", "task_items"} & set(PretrainConfig().identity())
    assert PretrainConfig(tasks_every=5).identity()["tasks_every"] == 5
