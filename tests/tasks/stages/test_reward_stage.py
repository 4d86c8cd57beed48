"""reward through the engine: what is measured on held-out pairs, and what is not published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from llm.alignment import reward_model
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.panels.panels import Table
from tasks.stages import reward
from tasks.stages.reward import NoBetterThanLengthError, NoHeldOutPairsError, RewardConfig
from tests.llm.alignment.tiny_run import instructions, model_folder, polite
from tests.tasks.stand_in_examples import EXAMPLES, PRETRAIN, StandInConfig

STAGES = {stage.name: stage for stage in (PRETRAIN, EXAMPLES, reward.STAGE)}
QUICK: dict[str, Any] = {
    "batch_size": 8,
    "threads": 1,
    "device": "cpu",
    "precision": "fp32",
    "learning_rate": 3e-3,
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    model_folder(folder)
    return folder


def built(
    folder: Path, given: Path, preferences: pa.Table, config: RewardConfig
) -> dict[str, BuildResult]:
    (folder / "rows").mkdir()
    instructions(folder / "rows" / "instructions.parquet")
    pq.write_table(preferences, folder / "rows" / "preferences.parquet")
    configs = {
        "pretrain": StandInConfig(folder=str(given / "model")),
        "examples": StandInConfig(folder=str(folder / "rows")),
        "reward": config,
    }
    store = Store(str(folder / "home"))
    return build(Planner(chain(STAGES, configs), configs, "test", store, Selection()))


def test_a_reward_model_is_measured_and_published(tmp_path: Path, given: Path) -> None:
    pairs = pq.read_table(polite(tmp_path / "pairs.parquet"))
    artifact = built(tmp_path, given, pairs, RewardConfig(epochs=6, **QUICK))["reward"].artifact
    facts = artifact.facts["held_out"]
    assert facts["accuracy"]["value"] > 0.9
    assert facts["ahead"]["low"] > 0
    assert facts["accuracy"]["n"] == 20
    reward_model.load(artifact.data("model").folder())
    shown = {panel.title: panel for panel in reward.panels(artifact)}
    table = shown["Held-out pairs"]
    assert isinstance(table, Table)
    assert table.rows[0][:2] == ["pairs told right", facts["accuracy"]["value"]]
    assert sum(int(str(row[1])) for row in shown["Calibration on held-out pairs"].rows) == 20  # type: ignore[union-attr]


def test_one_that_is_no_better_than_length_is_not(tmp_path: Path, given: Path) -> None:
    pairs = pq.read_table(polite(tmp_path / "pairs.parquet"))
    longer = pa.array(
        [
            [{"role": "assistant", "content": f"{row[0]['content']} and so on, and on"}]
            for row in pairs.column("rejected").to_pylist()
        ]
    )
    pairs = pairs.set_column(pairs.schema.get_field_index("chosen"), "chosen", longer)
    with pytest.raises(
        NoBetterThanLengthError, match=r"the longer answer is the better one in 100"
    ):
        built(tmp_path, given, pairs, RewardConfig(epochs=1, **QUICK))


def test_without_held_out_pairs(tmp_path: Path, given: Path) -> None:
    pairs = pq.read_table(polite(tmp_path / "pairs.parquet"))
    pairs = pairs.filter(pc.equal(pairs.column("split"), "train"))
    with pytest.raises(NoHeldOutPairsError, match=r"examples\.validation_fraction"):
        built(tmp_path, given, pairs, RewardConfig(epochs=1, **QUICK))
