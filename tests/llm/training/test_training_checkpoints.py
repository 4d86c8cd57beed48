"""Checkpoints: whole and this run's own, or passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm.sha256 import sha256_file
from llm.training import checkpoints
from llm.training.step import Stepper
from tests.llm.training.small_run import ALONE, fresh, opened, stepper

ROWS = np.arange(8)
GUARD = {"window": {"seen": 3}}
METRICS = [(1, "loss", 6.5), (1, "gradient_norm", 0.1 + 0.2)]


def _trained(folder: Path, steps: int, optimiser: str = "muon") -> Stepper:
    step = stepper(fresh(), opened(folder), optimiser=optimiser)
    for number in range(steps):
        step(number, ROWS)
    return step


def _write(folder: Path, step: Stepper, number: int, digest: str = "mine") -> None:
    found = (2, 1.5)
    held = (step.model, step.optimisers)
    checkpoints.write(folder, digest, number, *held, METRICS, found, ALONE, GUARD)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_what_is_restored_goes_on_alike(tmp_path: Path, optimiser: str) -> None:
    step = _trained(tmp_path, 2, optimiser)
    _write(tmp_path / "c", step, 2)
    found = checkpoints.latest(tmp_path / "c", "mine")
    assert found is not None
    assert (found.step, found.metrics, found.rejected) == (2, METRICS, ())
    assert found.guard == GUARD
    other = _trained(tmp_path, 0, optimiser)
    found.restore(other.model, other.optimisers)
    step(2, ROWS)
    other(2, ROWS)
    ours, theirs = step.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_two_are_kept_and_nothing_half_done(tmp_path: Path) -> None:
    step = _trained(tmp_path, 1)
    (tmp_path / "c" / "step-00000001.tmp").mkdir(parents=True)
    assert checkpoints.latest(tmp_path / "c", "mine") is None
    for number in (1, 2, 10):
        _write(tmp_path / "c", step, number)
    assert _names(tmp_path / "c") == ["step-00000002", "step-00000010"]
    assert _names(tmp_path / "c" / "step-00000010") == [
        "optimisers.pt",
        "state.json",
        "weights.safetensors",
    ]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimisers.pt", "state.json"])
@pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, name: str, damage: str) -> None:
    step = _trained(tmp_path, 1)
    _write(tmp_path / "c", step, 1)
    _write(tmp_path / "c", step, 2)
    path = tmp_path / "c" / "step-00000002" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + (b"\x00" + content[middle + 1 :]) * (damage != "cut"))
    found = checkpoints.latest(tmp_path / "c", "mine")
    assert found is not None
    assert (found.step, found.rejected) == (1, ("step-00000002",))
    # The next one is written although a damaged one claims its place, and the good one stays.
    _write(tmp_path / "c", step, 2)
    found = checkpoints.latest(tmp_path / "c", "mine")
    assert found is not None
    assert (found.step, found.rejected) == (2, ())


def test_one_from_before_a_step_is_the_newest_of_them_or_the_oldest(tmp_path: Path) -> None:
    step = _trained(tmp_path, 1)
    for number in (5, 8):
        _write(tmp_path / "c", step, number)
    for before, expected in ((9, 8), (8, 5), (6, 5), (5, 5), (1, 5)):
        found = checkpoints.latest(tmp_path / "c", "mine", before)
        assert found is not None
        assert found.step == expected


@pytest.mark.parametrize("state", ["[]", "{}", '{"run": "mine", "step": 3, "files": {}}'])
def test_a_strange_state_is_passed_over(tmp_path: Path, state: str) -> None:
    place = tmp_path / "c" / "step-00000003"
    place.mkdir(parents=True)
    (place / "state.json").write_text(state)
    assert checkpoints.latest(tmp_path / "c", "mine") is None


def test_another_run_s_are_ignored_and_do_not_crowd_out_ours(tmp_path: Path) -> None:
    step = _trained(tmp_path, 1)
    for number in (8, 9):
        _write(tmp_path / "c", step, number, "other")
    assert checkpoints.latest(tmp_path / "c", "mine") is None
    _write(tmp_path / "c", step, 1)
    found = checkpoints.latest(tmp_path / "c", "mine")
    assert found is not None
    assert found.step == 1


def test_where_there_is_no_space_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = _trained(tmp_path, 1)
    _write(tmp_path / "c", step, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "c", step, 2)
    found = checkpoints.latest(tmp_path / "c", "mine")
    assert found is not None
    assert (found.step, found.rejected) == (1, ())


def test_no_code_is_loaded(tmp_path: Path) -> None:
    """A pickle that would run something is refused, with digests that fit."""
    step = _trained(tmp_path, 1)
    _write(tmp_path / "c", step, 1)
    place = tmp_path / "c" / "step-00000001"
    torch.save([Path("/")], place / "optimisers.pt")
    state = json.loads((place / "state.json").read_text())
    state["files"]["optimisers.pt"] = sha256_file(place / "optimisers.pt")
    (place / "state.json").write_text(json.dumps(state))
    found = checkpoints.latest(tmp_path / "c", "mine")
    assert found is not None
    with pytest.raises(Exception, match="Weights only load failed"):
        found.restore(step.model, step.optimisers)
