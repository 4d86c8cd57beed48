"""Checkpoints are written while steps go on; what goes wrong then is told, and costs no more."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm.training import host_copy, tensor_files
from llm.training.checkpoints import Position
from llm.training.loop import train
from llm.training.saver import CheckpointError, Saver
from llm.training.tensor_files import Piece
from tests.llm.training.small_run import (
    ALONE,
    EXECUTION,
    Never,
    fresh,
    metrics,
    never,
    opened,
    run_of,
    stepper,
    trained,
    weights,
)

OFTEN = replace(EXECUTION, checkpoint_seconds=0.0)
Writer = Callable[[Path, Sequence[Piece]], str]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _saver(folder: Path, model: Any, optimisers: Any) -> Saver:
    return Saver(folder, {}, 2, model, optimisers, ALONE.processes, print)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nothing is written before it is set."""
    opens, write = threading.Event(), tensor_files.write

    def late(path: Path, pieces: Sequence[Piece]) -> str:
        assert opens.wait(60)
        return write(path, pieces)

    monkeypatch.setattr(tensor_files, "write", late)
    yield opens
    opens.set()


def test_what_is_written_is_what_was_when_it_was_saved(
    tmp_path: Path, gate: threading.Event
) -> None:
    step = stepper(fresh(), opened(tmp_path), optimiser="adamw")
    step(0, np.arange(8))
    before = {name: value.clone() for name, value in step.model.state_dict().items()}
    count = torch.tensor([1.0])
    rows = [(1, "loss", 2.0)]
    saves = _saver(tmp_path / "c", step.model, step.optimisers)
    saves.save(Position(1, rows, tensors={"count": count}))
    step(1, np.arange(8))
    rows.append((2, "loss", 1.0))
    count += 1
    saves.settle()
    assert saves.writing
    assert not list((tmp_path / "c").glob("step-????????"))
    gate.set()
    saves.finish()
    assert not saves.writing
    found = saves.restore()
    assert found is not None
    assert (found.step, found.metrics) == (1, [(1, "loss", 2.0)])
    assert found.tensors["count"] == torch.tensor([1.0])
    now = step.model.state_dict()
    assert all(torch.equal(before[name], now[name]) for name in before)
    saves.close()


class Opens(Never):
    """Opens the gate when so many steps are done."""

    def __init__(self, steps: int, gate: threading.Event) -> None:
        super().__init__()
        self._left, self._gate = steps, gate

    def hold(self) -> None:
        super().hold()
        self._left -= 1
        if not self._left:
            self._gate.set()


def test_steps_go_on_meanwhile(
    tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is held up until step 6 is done; no other is begun before it is there."""
    begun: list[tuple[int, bool]] = []
    save = Saver.save

    def noted(self: Saver, position: Position) -> None:
        begun.append((position.step, gate.is_set()))
        save(self, position)

    monkeypatch.setattr(Saver, "save", noted)
    run = run_of(tmp_path / "a", OFTEN)
    train(run, Opens(6, gate))
    first, second, *_ = begun
    assert first == (1, False)
    assert second[0] >= 6
    assert begun[-1] == (12, True)
    whole = run_of(tmp_path / "b")
    trained(whole)
    assert weights(run) == weights(whole)


def test_where_memory_has_no_room_for_a_copy_it_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = stepper(fresh(), opened(tmp_path))
    step(0, np.arange(8))
    monkeypatch.setattr(host_copy, "available_bytes", lambda: 1000)
    saves = _saver(tmp_path / "c", step.model, step.optimisers)
    saves.save(Position(1, []))
    assert _names(tmp_path / "c") == ["step-00000001"]
    saves.finish()
    assert saves.restore() == Position(1, [])
    saves.close()


def _full_disk(after: int) -> Writer:
    """From this call on files are written to a device that has no room."""
    calls, write = 0, tensor_files.write

    def written(path: Path, pieces: Sequence[Piece]) -> str:
        nonlocal calls
        calls += 1
        return write(Path("/dev/full") if calls > after else path, pieces)

    return written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has the device")
@pytest.mark.parametrize("after", [0, 4, 5])
def test_on_a_full_disk_it_ends_and_the_next_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Two files a checkpoint: from the first, the third, or the middle of the third on."""
    whole, cut = run_of(tmp_path / "whole"), run_of(tmp_path / "cut", OFTEN)
    trained(whole)
    folder = Path(cut.paths.scratch) / "checkpoints"
    with monkeypatch.context() as patch:
        patch.setattr(tensor_files, "write", _full_disk(after))
        with pytest.raises(CheckpointError, match=r"could not be written: .*No space left") as told:
            train(cut, never())
    assert isinstance(told.value.__cause__, OSError)
    assert told.value.__cause__.errno == errno.ENOSPC
    assert len(_names(folder)) == after // 2
    assert not any(name.endswith(".tmp") for name in _names(folder))
    assert not Path(cut.paths.model).exists()
    assert bool(trained(cut)["resumed_from_step"]) == (after > 0)
    assert weights(cut) == weights(whole)
    assert metrics(cut) == metrics(whole)


def test_what_goes_wrong_otherwise_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, pieces: Sequence[Piece]) -> str:
        raise ZeroDivisionError("of the writer")

    monkeypatch.setattr(tensor_files, "write", broken)
    with pytest.raises(ZeroDivisionError, match="of the writer"):
        train(run_of(tmp_path, OFTEN), never())


def test_so_many_are_kept_as_the_run_says(tmp_path: Path) -> None:
    run = run_of(tmp_path, replace(OFTEN, keep_checkpoints=3))
    trained(run)
    kept = _names(Path(run.paths.scratch) / "checkpoints")
    assert len(kept) == 3
    assert kept[-1] == "step-00000012"


def test_a_half_written_one_is_no_checkpoint(tmp_path: Path) -> None:
    """The machine went down: what lies there is a folder that was never renamed."""
    whole, cut = run_of(tmp_path / "whole"), run_of(tmp_path / "cut")
    trained(whole)
    aside = Path(cut.paths.scratch) / "checkpoints" / "step-00000004.tmp"
    aside.mkdir(parents=True)
    (aside / "weights.safetensors").write_bytes(b"\x08")
    assert trained(cut)["resumed_from_step"] == 0
    assert not aside.exists()
    assert weights(cut) == weights(whole)
