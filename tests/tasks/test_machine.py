"""A device that is not there is told before anything runs, and only to who would use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.cli.running import plan
from tasks.engine.config import StageConfig
from tasks.machine import MissingDeviceError, require_devices
from tasks.registry import STAGES

DEVICES = ("pretrain", "sft", "dpo", "evaluate")
WITHOUT = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
RECIPE = """
source: {sources: [{name: notes, paths: [notes.txt]}]}
clean: {}
dedup: {}
tokenizer: {}
pack: {}
pretrain: {device: cuda}
"""


def configs(**sections: dict[str, Any]) -> Mapping[str, StageConfig]:
    return {name: STAGES[name].config.model_validate(fields) for name, fields in sections.items()}


@WITHOUT
def test_every_stage_that_asks_for_a_gpu_is_named() -> None:
    asked = configs(source={}, **{stage: {"device": "cuda"} for stage in DEVICES})
    with pytest.raises(MissingDeviceError) as told:
        require_devices(asked, asked)
    lines = str(told.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{stage}.device" for stage in DEVICES]
    assert "device 'cuda' is not on this machine; it has " in lines[0]
    assert "cpu" in lines[0]


@WITHOUT
def test_where_another_machine_or_nobody_uses_it_nothing_is_asked() -> None:
    asked = configs(
        clean={},
        pretrain={"device": "cuda", "pool": "gpu"},
        sft={"device": "auto"},
        dpo={"device": "cpu"},
        evaluate={"device": "cuda"},
    )
    require_devices(asked, asked.keys() - {"evaluate"})


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm.training import devices

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices.require("auto", 2)
    devices.require("cpu", 8)
    with pytest.raises(devices.DeviceError, match=r"3 processes ask for a GPU each, .* has 2"):
        devices.require("cuda", 3)


@WITHOUT
def test_the_plan_is_shown_and_what_is_missing_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    (tmp_path / "notes.txt").write_text("A river rises in the hills.")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    with pytest.raises(MissingDeviceError, match=r"pretrain\.device: device 'cuda'"):
        plan("mine.yaml")
    assert "never built" in capsys.readouterr().out
    plan("mine.yaml", only=["source"])
    plan("mine.yaml", changes=["pretrain.pool=gpu"])
