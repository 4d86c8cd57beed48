"""sft and dpo through the engine: a tiny model tuned on instructions, then on preferences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llm.model.config_file import tokenizer_digest
from tasks.engine.config import StageConfig
from tasks.engine.errors import TrainerError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.panels.panels import Samples, Table
from tasks.stages import dpo, sft
from tasks.stages.dpo import DpoConfig
from tasks.stages.sft import SftConfig
from tests.llm.alignment.tiny_run import instructions, model_folder, preferences
from tests.tasks.stand_in_examples import EXAMPLES, PRETRAIN, StandInConfig

QUICK = {"batch_size": 8, "threads": 1, "device": "cpu", "precision": "fp32"}


STAGES = {stage.name: stage for stage in (PRETRAIN, EXAMPLES, sft.STAGE, dpo.STAGE)}


def built(folder: Path, sft_config: SftConfig, dpo_config: DpoConfig) -> dict[str, BuildResult]:
    if not (folder / "model").exists():
        model_folder(folder)
        (folder / "rows").mkdir()
        instructions(folder / "rows" / "instructions.parquet")
        preferences(folder / "rows" / "preferences.parquet")
    configs: dict[str, StageConfig] = {
        "pretrain": StandInConfig(folder=str(folder / "model")),
        "examples": StandInConfig(folder=str(folder / "rows")),
        "sft": sft_config,
        "dpo": dpo_config,
    }
    store = Store(str(folder / "home"))
    return build(Planner(chain(STAGES, configs), configs, "test", store, Selection()))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BuildResult]:
    settings: dict[str, Any] = QUICK
    return built(
        tmp_path_factory.mktemp("tuned"),
        SftConfig(epochs=4, learning_rate=3e-3, **settings),
        # Where each pair stands after a few steps is chance, and differs from CPU to CPU; after
        # these the margins of all that are trained on lie far above zero.
        DpoConfig(epochs=16, learning_rate=1e-3, **settings),
    )


def test_every_row_is_accounted_for(tuned: dict[str, BuildResult]) -> None:
    for stage, output in (("sft", "instructions"), ("dpo", "preferences")):
        artifact = tuned[stage].artifact
        ids = tuned["examples"].artifact.data(output).table(["doc_id"]).column(0).to_pylist()
        used = artifact.data("examples").table(["doc_id"]).column(0).to_pylist()
        assert used == ids
        assert artifact.manifest.totals.kept == len(ids)
        assert artifact.facts["train_rows"] + artifact.facts["validation_rows"] == len(ids)


def test_only_train_rows_are_learned(tuned: dict[str, BuildResult]) -> None:
    artifact = tuned["sft"].artifact
    rows = artifact.data("examples").table().to_pylist()
    mine = [row for row in rows if row["split"] == "train"]
    facts = artifact.facts
    assert facts["train_tokens"] == sum(len(row["tokens"]) for row in mine)
    assert facts["supervised_tokens"] == sum(sum(row["supervised"]) for row in mine)
    assert facts["validation_loss_after"] < facts["validation_loss_before"]


def test_the_chain_keeps_the_tokenizer(tuned: dict[str, BuildResult]) -> None:
    first = tokenizer_digest(tuned["pretrain"].artifact.data("model").folder())
    for stage in ("sft", "dpo"):
        folder = tuned[stage].artifact.data("model").folder()
        config = json.loads((folder / "config.json").read_text())
        assert config["tokenizer_sha256"] == tokenizer_digest(folder) == first
    record = tuned["dpo"].artifact.manifest.inputs["model"]
    assert record.stage == "sft"


def test_preferences_move(tuned: dict[str, BuildResult]) -> None:
    pairs = tuned["dpo"].artifact.data("pairs").table().to_pylist()
    train = [row["margin"] for row in pairs if row["split"] == "train"]
    assert sum(margin > 0 for margin in train) > 0.9 * len(train)


def test_panels_show_what_happened(tuned: dict[str, BuildResult]) -> None:
    for stage, module in (("sft", sft), ("dpo", dpo)):
        artifact = tuned[stage].artifact
        shown = {panel.title: panel for panel in module.panels(artifact)}
        counts, loss = shown["Rows"], shown["Loss"]
        assert isinstance(counts, Table)
        assert dict(counts.rows)["used"] == artifact.manifest.totals.kept
        assert len(loss.series["train"]) == artifact.facts["steps"]  # type: ignore[union-attr]
        samples = [panel for panel in shown.values() if isinstance(panel, Samples)]
        assert all("<|im_start|>assistant" in item.text for item in samples[0].items)


def test_a_guard_fails_the_stage(tmp_path: Path) -> None:
    settings: dict[str, Any] = QUICK
    with pytest.raises(TrainerError, match=r"TruncatedRowsError: .*max_truncated allows 1\.0%"):
        built(
            tmp_path,
            SftConfig(max_length=24, max_truncated=0.01, **settings),
            DpoConfig(**settings),
        )


def test_a_micro_batch_divides_the_batch() -> None:
    with pytest.raises(ValidationError, match="micro_batch_size: 3 does not divide batch_size 8"):
        SftConfig(batch_size=8, micro_batch_size=3)
