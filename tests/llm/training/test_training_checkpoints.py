"""Checkpoints: whole and this run's own, or passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llm.sha256 import sha256_file
from llm.training import checkpoints, tensor_files
from llm.training.checkpoints import OtherRunError, Position
from llm.training.saver import Saver
from llm.training.step import Stepper
from llm.training.training_state import StateError
from tests.llm.training.small_run import ALONE, fresh, opened, stepper

ROWS = np.arange(8)
METRICS = [(1, "loss", 6.5), (1, "gradient_norm", 0.1 + 0.2), (1, "validation_loss", float("inf"))]
MINE = {"data_id": "0" * 64, "optimisation": {"learning_rate": 0.01, "steps": 12}}
FILES = ["metrics.parquet", "optimisers.safetensors", "state.json", "weights.safetensors"]


def _trained(folder: Path, steps: int, optimiser: str = "muon") -> Stepper:
    step = stepper(fresh(), opened(folder), optimiser=optimiser)
    for number in range(steps):
        step(number, ROWS)
    return step


class _Saves:
    """Saves a trained model's state, and says what is told."""

    def __init__(self, folder: Path, step: Stepper, identity: dict[str, Any] = MINE) -> None:
        self.told: list[str] = []
        held = (step.model, step.optimisers, ALONE.processes)
        self.saver = Saver(folder, identity, 2, *held, self.told.append)

    def save(self, number: int, **more: Any) -> None:
        self.saver.save(Position(number, METRICS, (2, 1.5), **more))
        self.saver.finish()

    def restored(self) -> Position:
        found = self.saver.restore()
        assert found is not None
        return found


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_what_is_restored_goes_on_alike(tmp_path: Path, optimiser: str) -> None:
    step = _trained(tmp_path, 2, optimiser)
    _Saves(tmp_path / "c", step).save(2)
    other = _trained(tmp_path, 0, optimiser)
    found = _Saves(tmp_path / "c", other).restored()
    assert found == Position(2, METRICS, (2, 1.5))
    step(2, ROWS)
    other(2, ROWS)
    ours, theirs = step.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_others_keep_comes_back(tmp_path: Path) -> None:
    saves = _Saves(tmp_path / "c", _trained(tmp_path, 1))
    tensors = {"norms": torch.rand(128, dtype=torch.float64), "count": torch.tensor(7)}
    saves.save(1, extra={"stability": {"rate": 0.5, "skipped": [3, 4]}}, tensors=tensors)
    found = saves.restored()
    assert found.extra == {"stability": {"rate": 0.5, "skipped": [3, 4]}}
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)


def test_an_earlier_one_is_gone_back_to_and_later_ones_do_not_come_back(tmp_path: Path) -> None:
    step = _trained(tmp_path, 1)
    saves = _Saves(tmp_path / "c", step)
    saves.save(3)
    before = step.model.model.embed_tokens.weight.detach().clone()
    step(1, ROWS)
    saves.save(9)
    found = saves.saver.restore(before=9)
    assert found is not None
    assert found.step == 3
    assert torch.equal(step.model.model.embed_tokens.weight, before)
    found = saves.saver.restore(before=3)
    assert found is not None
    assert found.step == 3
    saves.save(4)
    assert _names(tmp_path / "c") == ["step-00000003", "step-00000004"]


def test_two_are_kept_and_nothing_half_done(tmp_path: Path) -> None:
    step = _trained(tmp_path, 1)
    (tmp_path / "c" / "step-00000001.tmp").mkdir(parents=True)
    saves = _Saves(tmp_path / "c", step)
    assert saves.saver.restore() is None
    for number in (1, 2, 10):
        saves.save(number)
    assert _names(tmp_path / "c") == ["step-00000002", "step-00000010"]
    assert _names(tmp_path / "c" / "step-00000010") == FILES


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, name: str, damage: str) -> None:
    step = _trained(tmp_path, 1)
    saves = _Saves(tmp_path / "c", step)
    saves.save(1)
    saves.save(2)
    path = tmp_path / "c" / "step-00000002" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + (b"\x00" + content[middle + 1 :]) * (damage != "cut"))
    assert saves.restored().step == 1
    assert saves.told[0].startswith("checkpoint step-00000002 was passed over: ")
    # The next one is written although a damaged one claims its place, and the good one stays.
    saves.save(2)
    assert saves.restored().step == 2
    assert len(saves.told) == 1


@pytest.mark.parametrize("state", ["[]", "{}", "", '{"format": 2, "run": {}, "files": {}}'])
def test_a_strange_state_is_passed_over(tmp_path: Path, state: str) -> None:
    place = tmp_path / "c" / "step-00000003"
    place.mkdir(parents=True)
    (place / "state.json").write_text(state)
    assert _Saves(tmp_path / "c", _trained(tmp_path, 0)).saver.restore() is None


def test_one_of_an_earlier_version_is_passed_over(tmp_path: Path) -> None:
    place = tmp_path / "c" / "step-00000003"
    place.mkdir(parents=True)
    torch.save([{}], place / "optimisers.pt")
    save_file({"w": torch.ones(2)}, place / "weights.safetensors")
    files = {path.name: sha256_file(path) for path in place.iterdir()}
    state = {"run": "a" * 64, "step": 3, "files": files, "metrics": [], "threads": [0, 0.0]}
    (place / "state.json").write_text(json.dumps(state))
    saves = _Saves(tmp_path / "c", _trained(tmp_path, 0))
    assert saves.saver.restore() is None
    assert saves.told == [
        "checkpoint step-00000003 was passed over: an earlier version of Ingot wrote it"
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_passed_over(tmp_path: Path, value: float) -> None:
    step = _trained(tmp_path, 1)
    saves = _Saves(tmp_path / "c", step)
    saves.save(1)
    with torch.no_grad():
        step.model.model.layers[1].mlp.up_proj.weight[3, 4] = value
    saves.save(2)
    assert saves.restored().step == 1
    [told] = saves.told
    assert "model.layers.1.mlp.up_proj.weight holds values that are no numbers" in told
    assert torch.isfinite(step.model.model.layers[1].mlp.up_proj.weight).all()


def test_one_of_other_settings_is_passed_over_and_does_not_crowd_out_ours(tmp_path: Path) -> None:
    step = _trained(tmp_path, 1)
    other = {**MINE, "optimisation": {"learning_rate": 0.02, "steps": 12}}
    theirs, ours = (_Saves(tmp_path / "c", step, run) for run in (other, MINE))
    theirs.save(8)
    theirs.save(9)
    assert ours.saver.restore() is None
    assert ours.told == [
        "checkpoint step-00000009 is of other settings and was passed over: "
        "optimisation.learning_rate 0.02 there, 0.01 here"
    ]
    ours.save(1)
    assert ours.restored().step == 1


def test_one_of_other_data_is_an_error_and_stays(tmp_path: Path) -> None:
    step = _trained(tmp_path, 1)
    _Saves(tmp_path / "c", step, {**MINE, "data_id": "1" * 64}).save(9)
    with pytest.raises(OtherRunError, match="data_id 111111111111 there, 000000000000 here"):
        _Saves(tmp_path / "c", step).saver.restore()
    assert _names(tmp_path / "c") == ["step-00000009"]


def test_where_there_is_no_space_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = _trained(tmp_path, 1)
    saves = _Saves(tmp_path / "c", step)
    saves.save(1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tensor_files, "write", full)
        with pytest.raises(OSError, match="No space left"):
            saves.save(2)
    assert saves.restored().step == 1
    assert not saves.told


def test_states_of_another_optimiser_do_not_fit(tmp_path: Path) -> None:
    _Saves(tmp_path / "c", _trained(tmp_path, 1, "muon")).save(1)
    other = _Saves(tmp_path / "c", _trained(tmp_path, 0, "adamw"))
    with pytest.raises(StateError, match="optimiser states do not fit this run"):
        other.saver.restore()


def test_nothing_is_a_pickle(tmp_path: Path) -> None:
    """Every file is text, Parquet or safetensors, and the weights have the model's names."""
    step = _trained(tmp_path, 1, "adamw")
    _Saves(tmp_path / "c", step).save(1)
    place = tmp_path / "c" / "step-00000001"
    weights = load_file(place / "weights.safetensors")
    assert weights.keys() == dict(step.model.named_parameters()).keys()
    states = load_file(place / "optimisers.safetensors")
    assert {name.rpartition("/")[2] for name in states} == {"exp_avg", "exp_avg_sq", "step"}
    assert checkpoints.weight_that_is_no_number(place) == ""
