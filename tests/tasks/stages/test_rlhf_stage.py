"""rlhf through the engine: what it reads, what it makes, and recipes that cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from llm.model.folder import load
from tasks.engine.declare import Output
from tasks.engine.identity.snapshot import snapshot_files
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.run.requirements import problems
from tasks.engine.store.store import Store
from tasks.panels.panels import Curve, Samples, Table
from tasks.registry import STAGES as REGISTRY
from tasks.stages import reward, rlhf
from tasks.stages.reward import RewardConfig
from tasks.stages.rlhf_config import RlhfConfig
from tasks.stages.rlhf_prompts import prompts_in_files
from tests.llm.alignment.tiny_run import instructions, model_folder, polite
from tests.tasks.stand_in_examples import EXAMPLES, PRETRAIN, StandInConfig

SFT = replace(PRETRAIN, name="sft", outputs={"model": Output("The model.")})
STAGES = {stage.name: stage for stage in (SFT, EXAMPLES, reward.STAGE, rlhf.STAGE)}
QUICK: dict[str, Any] = {"threads": 1, "device": "cpu", "precision": "fp32"}
TINY: dict[str, Any] = {
    **QUICK,
    "batch_size": 16,
    "samples": 4,
    "new_tokens": 6,
    "samples_every": 2,
    "max_kl": 100.0,
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    model_folder(folder)
    (folder / "rows").mkdir()
    instructions(folder / "rows" / "instructions.parquet")
    polite(folder / "rows" / "preferences.parquet")
    return folder


def built(home: Path, given: Path, config: RlhfConfig, **more: Any) -> dict[str, BuildResult]:
    configs = {
        "sft": StandInConfig(folder=str(given / "model")),
        "examples": StandInConfig(folder=str(given / "rows")),
        "rlhf": config,
        **more,
    }
    store = Store(str(home))
    return build(Planner(chain(STAGES, configs), configs, "test", store, Selection()))


@pytest.mark.long
def test_from_a_reward_model_to_a_model(tmp_path: Path, given: Path) -> None:
    judge = RewardConfig(must_beat_length=False, batch_size=8, **QUICK)
    parts = [{"name": "preferred", "kind": "model"}, {"name": "short", "kind": "length"}]
    config = RlhfConfig(rewards=parts, learning_rate=3e-3, **TINY)  # type: ignore[arg-type]
    results = built(tmp_path, given, config, reward=judge)
    artifact = results["rlhf"].artifact
    assert artifact.manifest.inputs["reward_model"].stage == "reward"
    load(artifact.data("model").folder())
    totals = artifact.manifest.totals
    assert totals.rows_in == totals.kept == artifact.data("examples").rows
    facts = artifact.facts
    held_out = artifact.data("held_out").table().to_pylist()
    change = [row["reward_after"] - row["reward_before"] for row in held_out]
    assert facts["held_out"]["change"]["value"] == pytest.approx(sum(change) / len(change))
    shown = {panel.title: panel for panel in rlhf.panels(artifact)}
    by_part = shown["Reward by part"]
    assert isinstance(by_part, Curve)
    assert set(by_part.series) == {"preferred", "short"}
    for title in ("Reward", "KL divergence from the starting model", "Entropy"):
        curve = shown[title]
        assert isinstance(curve, Curve)
        assert len(next(iter(curve.series.values()))) == facts["steps"]
    assert isinstance(shown["Reward of held-out prompts"], Table)
    learned = shown["Answers learned from, of the last steps kept"]
    assert isinstance(learned, Samples)
    assert {"reward", "preferred", "short"} <= learned.items[0].facts.keys()


def questions(path: Path) -> Path:
    """Forty prompts as instruction files have them, one of them twice, and a row that is none."""
    rows = [{"prompt": f"What is {n} and {n}?", "completion": f"#### {2 * n}"} for n in range(40)]
    lines = [json.dumps(row) for row in [*rows, rows[3], {"prompt": "Without an answer"}]]
    path.write_text("\n".join(lines))
    return path


def test_prompts_of_files_are_split_and_counted(tmp_path: Path) -> None:
    path = questions(tmp_path / "questions.jsonl")
    given = prompts_in_files(snapshot_files([str(path)], "test"), 0.3, 0, tmp_path / "made")
    (file,) = given.files
    table = pq.read_table(file)
    assert given.rows == 42
    assert table.num_rows == 40
    assert given.removed.column("reason").to_pylist() == ["duplicate"]
    assert given.rejected.num_rows == 1
    splits = table.column("split").to_pylist()
    assert 4 <= splits.count("validation") <= 20
    again = prompts_in_files(snapshot_files([str(path)], "test"), 0.3, 1, tmp_path / "others")
    assert pq.read_table(again.files[0]).column("split").to_pylist() != splits


@pytest.mark.long
def test_from_files_of_prompts(tmp_path: Path, given: Path) -> None:
    path = questions(tmp_path / "questions.jsonl")
    parts = [{"name": "right", "kind": "number"}, {"name": "digits", "kind": "pattern"}]
    parts[1]["expression"] = "[0-9]"
    config = RlhfConfig(
        prompt_files=[str(path)],
        validation_fraction=0.2,
        rewards=parts,  # type: ignore[arg-type]
        **TINY,
    )
    artifact = built(tmp_path / "home", given, config)["rlhf"].artifact
    assert "examples" not in artifact.manifest.inputs
    totals = artifact.manifest.totals
    assert (totals.rows_in, totals.kept, totals.removed) == (42, 40, {"duplicate": 1})
    assert artifact.data("removed").rows == artifact.data("rejected").rows == 1


def test_rules_read_no_reward_model() -> None:
    config = RlhfConfig(rewards=[{"name": "a", "kind": "exact"}], **TINY)  # type: ignore[list-item]
    configs = {"sft": StandInConfig(), "examples": StandInConfig(), "rlhf": config}
    configs["reward"] = RewardConfig()
    assert chain(STAGES, configs).wiring["rlhf"].keys() == {"model", "examples"}
    configs["rlhf"] = RlhfConfig(prompt_files=["questions.jsonl"])
    assert chain(STAGES, configs).wiring["rlhf"].keys() == {"model", "reward_model"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 10, "samples": 4}, "samples: 4 does not divide batch_size 10"),
        ({"rewards": []}, "at least 1 item"),
        ({"rewards": [{"name": "a", "kind": "exact"}] * 2}, "names of their own; given twice: a"),
        (
            {"rewards": [{"name": "a", "kind": "form", "expression": "("}]},
            r"reward 'a': '\(' is no regular expression",
        ),
        (
            {"rewards": [{"name": "a", "kind": "json_schema"}]},
            "reward 'a': the JSON schema is no JSON",
        ),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RlhfConfig.model_validate(fields)


def test_what_the_recipe_lacks_is_told() -> None:
    configs = {
        name: REGISTRY[name].config.model_validate(fields)
        for name, fields in {
            "pack": {"sequence_length": 64},
            "examples": {"make_from_documents": False, "preference_files": ["x"]},
            "sft": {},
            "rlhf": {"new_tokens": 64},
        }.items()
    }
    told = "\n".join(problem for problem in problems(REGISTRY, configs) if "rlhf" in problem)
    assert "rlhf.new_tokens: 64 leaves no room for a prompt" in told
    assert "rlhf: learns from instructions, and examples makes none" in told
    assert "rlhf.rewards: a part of kind model asks the reward model" in told
