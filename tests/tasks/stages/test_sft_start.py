"""sft from a model of another program, through the engine and handed over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.engine.errors import TrainerError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection, Status
from tasks.engine.store.store import Store
from tasks.handover.handing_over import hand_over
from tasks.stages.sft import SftConfig
from tests.llm.alignment.tiny_run import instructions, preferences
from tests.llm.foreign_models import PLAIN, foreign_folder
from tests.tasks.stand_in_examples import StandInConfig
from tests.tasks.tuning_chain import QUICK, STAGES


def planned(folder: Path, **settings: Any) -> Planner:
    told: dict[str, Any] = QUICK
    configs = {
        "examples": StandInConfig(folder=str(folder / "rows")),
        "sft": SftConfig(learning_rate=1e-2, epochs=1, **told, **settings),
    }
    store = Store(str(folder / "home"))
    return Planner(chain(STAGES, configs), configs, "test", store, Selection())


@pytest.fixture
def given(tmp_path: Path) -> Path:
    foreign_folder("gpt2", tmp_path / "gpt2")
    (tmp_path / "plain.jinja").write_text(PLAIN)
    (tmp_path / "rows").mkdir()
    instructions(tmp_path / "rows" / "instructions.parquet")
    preferences(tmp_path / "rows" / "preferences.parquet")
    return tmp_path


def test_a_model_is_its_files_wherever_they_lie(given: Path) -> None:
    start = {"start_from": str(given / "gpt2"), "chat_template": str(given / "plain.jinja")}
    artifact = build(planned(given, **start, lora_rank=2))["sft"].artifact
    assert artifact.facts["start_from"] == "gpt2"
    assert artifact.facts["start_revision"] is None
    assert set(artifact.manifest.externals) == {"start", "chat_template"}
    # Elsewhere it is the same one; with another template it is not.
    (given / "gpt2").rename(given / "moved")
    start["start_from"] = str(given / "moved")
    again = planned(given, **start, lora_rank=2)
    assert {row.stage: row.status for row in again.plan()}["sft"] is Status.FRESH
    (given / "plain.jinja").write_text(PLAIN + "\n")
    again = planned(given, **start, lora_rank=2)
    assert {row.stage: row.status for row in again.plan()}["sft"] is not Status.FRESH
    # What another program is told: the model as it is trained here, files and not links.
    folder = hand_over(again.request("sft"), "tiny", given / "out").folder
    assert not any(path.is_symlink() for path in (folder / "model").iterdir())
    told = yaml.safe_load((folder / "axolotl.yaml").read_text())
    assert told["eot_tokens"] == ["<|endoftext|>"]
    assert (told["adapter"], told["lora_r"], told["lora_target_linear"]) == ("lora", 2, True)
    shutil.rmtree(given / "moved")


def test_what_is_wrong_with_it_is_told(given: Path) -> None:
    with pytest.raises(TrainerError, match=r"NoChatTemplateError: .*sft\.chat_template"):
        build(planned(given, start_from=str(given / "gpt2")))
