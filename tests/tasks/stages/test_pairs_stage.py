"""pairs through the engine: a model's own answers become preferences, and dpo learns from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from llm.alignment.examples.tables import INSTRUCTIONS, PREFERENCES
from tasks.engine.declare import Output
from tasks.engine.run.build import build
from tasks.engine.run.chain import RecipeError, chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.run.requirements import problems
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Samples, Table
from tasks.registry import STAGES as REGISTRY
from tasks.stages import dpo, pairs
from tasks.stages.dpo import DpoConfig
from tasks.stages.pairs_config import SampledPairsConfig
from tests.llm.sampled_pairs.answering import answering_model, questions
from tests.tasks.stand_in_examples import EXAMPLES, PRETRAIN, StandInConfig

SFT = replace(PRETRAIN, name="sft", outputs={"model": Output("The model.")})
GIVEN = replace(
    EXAMPLES,
    outputs={
        "instructions": Output("Instructions.", INSTRUCTIONS, unique_ids=True),
        "preferences": Output("Preferences.", PREFERENCES, unique_ids=True),
    },
)
STAGES = {stage.name: stage for stage in (SFT, GIVEN, pairs.STAGE, dpo.STAGE)}
RULE = [{"name": "polite", "kind": "pattern", "expression": "please"}]
TINY: dict[str, Any] = {"samples": 6, "new_tokens": 12, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    answering_model(folder)
    (folder / "rows").mkdir()
    questions(folder / "rows" / "instructions.parquet")
    pq.write_table(PREFERENCES.empty_table(), folder / "rows" / "preferences.parquet")
    return folder


def built(home: Path, given: Path, tuned: DpoConfig) -> dict[str, Artifact]:
    configs = {
        "sft": StandInConfig(folder=str(given / "sft" / "out")),
        "examples": StandInConfig(folder=str(given / "rows")),
        "pairs": SampledPairsConfig(rewards=RULE, **TINY),  # type: ignore[arg-type]
        "dpo": tuned,
    }
    store = Store(str(home))
    results = build(Planner(chain(STAGES, configs), configs, "test", store, Selection()))
    return {name: result.artifact for name, result in results.items()}


@pytest.mark.long
@pytest.mark.parametrize("source", ["samples", "both"])
def test_a_model_learns_from_its_own_answers(tmp_path: Path, given: Path, source: Any) -> None:
    tuned = DpoConfig(
        pairs=source,
        epochs=12,
        learning_rate=1e-3,
        batch_size=4,
        threads=1,
        device="cpu",
        precision="fp32",
    )
    made = built(tmp_path, given, tuned)
    drawn, learned = made["pairs"], made["dpo"]
    totals = drawn.manifest.totals
    assert totals.rows_in == drawn.data("preferences").rows + sum(totals.rejected.values())
    assert drawn.data("samples").rows == 6 * totals.rows_in
    assert learned.manifest.totals.rows_in == drawn.data("preferences").rows
    assert ("examples" in learned.manifest.inputs) is (source == "both")
    margins = learned.data("pairs").table().to_pylist()
    train = [row["margin"] for row in margins if row["split"] == "train"]
    assert train
    assert min(train) > 0
    shown = {panel.title: panel for panel in pairs.panels(drawn)}
    answers, read = shown["Answers"], shown["Pairs"]
    assert isinstance(answers, Table)
    rewards = {(row[0], row[1]): row[3] for row in answers.rows}
    assert rewards["train", "chosen"] == 1
    assert rewards["train", "rejected"] == 0
    assert 0 < rewards["train", "all"] < 1  # type: ignore[operator]
    assert isinstance(read, Samples)
    assert "please" in read.items[0].text.split("chosen: ")[1].split("rejected: ")[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rewards": []}, "nothing to rank answers by; give a part, or set judge_weight"),
        ({"rewards": RULE * 2}, "names of their own; given twice: polite"),
        (
            {"judge_weight": 1, "rewards": [{**RULE[0], "name": "judge"}]},
            "the judge's grade is called judge",
        ),
        ({"samples": 1}, "greater than or equal to 2"),
        ({"base_url": "http://me:secret@there/v1"}, "match pattern"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SampledPairsConfig.model_validate(fields)


def test_what_the_recipe_lacks_is_told() -> None:
    configs = {
        name: REGISTRY[name].config.model_validate(fields)
        for name, fields in {
            "pack": {"sequence_length": 64},
            "examples": {"make_from_documents": False, "preference_files": ["x"]},
            "sft": {},
            "pairs": {"new_tokens": 64},
        }.items()
    }
    told = "\n".join(problem for problem in problems(REGISTRY, configs) if "pairs" in problem)
    assert "pairs.new_tokens: 64 leaves no room for a prompt" in told
    assert "pairs: answers the prompts of instructions, and examples makes none" in told
    assert "pairs.rewards: a part of kind model asks the reward model" in told


def test_dpo_on_samples_needs_them() -> None:
    configs = {
        "sft": StandInConfig(),
        "examples": StandInConfig(),
        "dpo": DpoConfig(pairs="samples"),
    }
    with pytest.raises(RecipeError, match="dpo reads samples from pairs, which the recipe does"):
        chain(STAGES, configs)
    configs["pairs"] = SampledPairsConfig(rewards=RULE)  # type: ignore[arg-type]
    assert chain(STAGES, configs).wiring["dpo"].keys() == {"model", "samples"}
    configs["dpo"] = DpoConfig()
    assert chain(STAGES, configs).wiring["dpo"].keys() == {"model", "examples"}
