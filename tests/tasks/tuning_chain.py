"""A chain of a test: a tiny model, tuned on a few instructions, then on preferences."""

from __future__ import annotations

from pathlib import Path

from tasks.engine.config import StageConfig
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.stages import dpo, sft
from tasks.stages.dpo import DpoConfig
from tasks.stages.sft import SftConfig
from tests.llm.alignment.tiny_run import instructions, model_folder, preferences
from tests.tasks.stand_in_examples import EXAMPLES, PRETRAIN, StandInConfig

QUICK = {"batch_size": 8, "threads": 1, "device": "cpu", "precision": "fp32"}


STAGES = {stage.name: stage for stage in (PRETRAIN, EXAMPLES, sft.STAGE, dpo.STAGE)}


def planned(folder: Path, sft_config: SftConfig, dpo_config: DpoConfig) -> Planner:
    """A planner of the chain in a folder; its files are made if they are not there."""
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
    return Planner(chain(STAGES, configs), configs, "test", store, Selection())


def built(folder: Path, sft_config: SftConfig, dpo_config: DpoConfig) -> dict[str, BuildResult]:
    """The same, built."""
    return build(planned(folder, sft_config, dpo_config))
