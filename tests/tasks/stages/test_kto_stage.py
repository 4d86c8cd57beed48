"""kto through the engine: thumbs of files, pairs taken apart, and recipes that cannot be."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llm.model.folder import load
from tasks.engine.declare import Output
from tasks.engine.errors import TrainerError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.run.requirements import problems
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Curve, Table
from tasks.registry import STAGES as REGISTRY
from tasks.stages import examples, kto
from tasks.stages.examples import ExamplesConfig
from tasks.stages.examples_panels import panels as example_panels
from tasks.stages.kto import KtoConfig
from tests.llm.alignment.tiny_run import facts, model_folder
from tests.tasks.stand_in_examples import PRETRAIN, StandInConfig

SFT = replace(PRETRAIN, name="sft", outputs={"model": Output("The model.")})
STAGES = {stage.name: stage for stage in (SFT, examples.STAGE, kto.STAGE)}
QUICK: dict[str, Any] = {"threads": 1, "device": "cpu", "precision": "fp32", "batch_size": 8}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    model_folder(folder)
    said = facts()
    pairs = [
        {"prompt": asked, "chosen": answer, "rejected": other[::-1]}
        for (asked, answer), (_, other) in itertools.pairwise(said)
    ]
    spelled = [("👍", "chosen"), ("thumbs_down", "rejected"), (True, "chosen"), (-1, "rejected")]
    marked = [
        {"prompt": pair["prompt"], "completion": pair[side], "feedback": mark}
        for number, pair in enumerate(pairs)
        for mark, side in [spelled[number % 4]]
    ]
    up = [{**row, "feedback": "up"} for row in marked]
    for name, rows in (("pairs", pairs), ("marked", marked), ("up", up)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def built(home: Path, given: Path, config: KtoConfig, **files: str) -> dict[str, Artifact]:
    named = {f"{kind}_files": [str(given / name)] for kind, name in files.items()}
    configs = {
        "sft": StandInConfig(folder=str(given / "model")),
        "examples": ExamplesConfig(make_from_documents=False, validation_fraction=0.3, **named),
        "kto": config,
    }
    store = Store(str(home))
    results = build(Planner(chain(STAGES, configs), configs, "test", store, Selection()))
    return {name: result.artifact for name, result in results.items()}


@pytest.mark.long
def test_thumbs_of_files(tmp_path: Path, given: Path) -> None:
    config = KtoConfig(epochs=12, learning_rate=1e-3, **QUICK)
    made = built(tmp_path, given, config, thumb="marked.jsonl")
    artifact = made["kto"]
    load(artifact.data("model").folder())
    rows = made["examples"].data("thumbs").table().to_pylist()
    totals = artifact.manifest.totals
    assert totals.rows_in == totals.kept == len(rows)
    worth = {row["doc_id"]: row for row in artifact.data("rewards").table().to_pylist()}
    for row in rows:
        assert worth[row["doc_id"]]["desirable"] == row["desirable"]
        if row["split"] == "train":
            assert (worth[row["doc_id"]]["reward"] > 0) is row["desirable"]
    shown = {panel.title: panel for panel in kto.panels(artifact)}
    reward, divergence = (
        shown[title] for title in ("Reward", "KL divergence from the starting model")
    )
    assert isinstance(reward, Curve)
    assert set(reward.series) == {"thumb up", "thumb down"}
    assert isinstance(divergence, Curve)
    assert len(divergence.series["nats an answer"]) == artifact.facts["steps"]
    counted = shown["Thumbs learned from"]
    assert isinstance(counted, Table)
    train = [row["desirable"] for row in rows if row["split"] == "train"]
    assert counted.rows == [["up", sum(train)], ["down", len(train) - sum(train)]]
    told = {panel.title: panel for panel in example_panels(made["examples"])}
    table = told["Thumbs up and down"]
    assert isinstance(table, Table)
    assert table.rows[0] == ["train", sum(train), len(train) - sum(train)]


@pytest.mark.long
def test_pairs_are_taken_apart(tmp_path: Path, given: Path) -> None:
    config = KtoConfig(learn_from="preferences", **QUICK)
    made = built(tmp_path, given, config, preference="pairs.jsonl")
    artifact = made["kto"]
    assert artifact.manifest.inputs.keys() == {"model", "preferences"}
    pairs = made["examples"].data("preferences")
    assert artifact.manifest.totals.rows_in == artifact.manifest.totals.kept == 2 * pairs.rows
    assert artifact.facts["thumbs_up"] == artifact.facts["thumbs_down"]


@pytest.mark.long
def test_thumbs_of_one_kind_fail_the_stage(tmp_path: Path, given: Path) -> None:
    with pytest.raises(TrainerError, match=r"OneKindOfThumbError: all .* have a thumb up"):
        built(tmp_path, given, KtoConfig(**QUICK), thumb="up.jsonl")


@pytest.mark.parametrize("fields", [{"batch_size": 1}, {"batch_size": 4, "micro_batch_size": 1}])
def test_an_answer_alone_is_held_against_nothing(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="take two at least"):
        KtoConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "kto: learns from thumbs, and examples has none; name examples.thumb_files"),
        ({"learn_from": "preferences"}, "kto: learns from preferences, and examples makes none"),
        ({"max_length": 65}, "kto.max_length: 65 is more than the model's context"),
    ],
)
def test_what_the_recipe_lacks_is_told(fields: dict[str, Any], told: str) -> None:
    configs = {
        name: REGISTRY[name].config.model_validate(values)
        for name, values in {
            "pack": {"sequence_length": 64},
            "examples": {"make_from_documents": False, "instruction_files": ["x"]},
            "kto": fields,
        }.items()
    }
    assert told in "\n".join(problems(REGISTRY, configs))
