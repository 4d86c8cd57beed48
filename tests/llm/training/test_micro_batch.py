"""How many rows at once fit is found by steps that are taken anyway, and remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm.process.parent import StopRequest
from llm.training import memory, micro_batch
from llm.training.loop import train
from llm.training.memory_estimate import row_bytes
from llm.training.micro_batch import even
from llm.training.step import Stepper
from tests.llm.training.small_run import ARCHITECTURE, EXECUTION, metrics, run_of, trained

ROWS = 8  # a batch


@given(st.integers(1, 500), st.integers(1, 500))
def test_pieces_are_even_and_no_larger_than_what_fits(rows: int, share: int) -> None:
    size = even(rows, share)
    assert 1 <= size <= min(rows, share)
    assert -(-share // size) == -(-share // min(rows, share))


def test_more_is_kept_of_longer_rows_and_less_where_it_is_computed_again() -> None:
    kinds = [row_bytes(ARCHITECTURE, "fp32", kind) for kind in ("none", "selective", "full")]
    assert kinds[0] > kinds[1] > kinds[2] > row_bytes(ARCHITECTURE, "bf16", "full")
    longer = replace(ARCHITECTURE, context=2 * ARCHITECTURE.context)
    assert row_bytes(longer, "fp32", "none") == 2 * kinds[0]


class Machine:
    """One whose steps take `row` bytes for each row at once, in `room` bytes."""

    def __init__(self, patch: pytest.MonkeyPatch, room: int, row: int) -> None:
        self.seen: list[int] = []
        call = Stepper.__call__

        def stepped(stepper: Stepper, *arguments: object) -> object:
            self.seen.append(stepper.micro_batch_rows)
            return call(stepper, *arguments)  # type: ignore[arg-type]

        patch.setattr(Stepper, "__call__", stepped)
        patch.setattr(micro_batch, "free_bytes", lambda device: room)
        patch.setattr(micro_batch, "start_peak", lambda device: 100)
        patch.setattr(micro_batch, "peak_bytes", lambda device: 100 + row * self.seen[-1])


def test_it_grows_to_what_fits_and_is_where_the_next_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    one, two = run_of(tmp_path / "one"), run_of(tmp_path / "two")
    whole = trained(run_of(tmp_path / "whole", replace(EXECUTION, micro_batch_rows=ROWS)))
    # The estimate says that not even one row fits; measured, there is room for five.
    machine = Machine(monkeypatch, room=560, row=100)
    first = trained(one)
    assert machine.seen == [1, *[4] * (first["steps"] - 1)]  # in pieces of one size
    assert trained(two)["micro_batch_rows"] == first["micro_batch_rows"] == 4
    assert machine.seen[first["steps"]] == 4
    assert whole["micro_batch_rows"] == ROWS
    assert metrics(one)["loss"] == pytest.approx(metrics(two)["loss"], rel=1e-4)


def test_what_the_config_says_is_neither_changed_nor_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    machine = Machine(monkeypatch, room=10**9, row=1)
    trained(run_of(tmp_path / "one", replace(EXECUTION, micro_batch_rows=3)))
    assert set(machine.seen) == {3}
    machine.seen.clear()
    trained(run_of(tmp_path / "two"))
    assert set(machine.seen) == {ROWS}


def test_what_memory_allowed_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = [torch.OutOfMemoryError("CUDA out of memory")]
    gradients = Stepper._gradients

    def short(stepper: Stepper, *arguments: object) -> torch.Tensor:
        if fails:
            raise fails.pop()
        return gradients(stepper, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Stepper, "_gradients", short)
    monkeypatch.setattr(micro_batch, "start_peak", lambda device: None)  # nobody counts
    run = run_of(tmp_path, replace(EXECUTION, micro_batch_rows=6))
    assert trained(run)["micro_batch_rows"] == 3
    machine = Machine(monkeypatch, room=0, row=1)
    monkeypatch.setattr(micro_batch, "start_peak", lambda device: None)
    train(run_of(tmp_path, seed=1), StopRequest())
    assert set(machine.seen) == {3}


def test_the_memory_of_a_step_is_seen() -> None:
    device = torch.device("cpu")
    before = memory.start_peak(device)
    if before is None:
        pytest.skip("this system does not count the most memory a process had")
    held = torch.ones(1 << 24)  # 64 MiB
    assert 60 << 20 < memory.peak_bytes(device) - before < 200 << 20
    del held
    assert memory.start_peak(device) < before + (30 << 20)
    assert memory.free_bytes(device) > 1 << 20


def test_memory_that_is_there_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1e7 < memory.available_bytes() < 1e15
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert 1e7 < memory.available_bytes() < 1e15
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 1200\ninactive_file 300\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory.available_bytes() == 3300  # what lies about of files is given back
    (tmp_path / "memory.max").write_text("max\n")  # no limit
    assert 1e7 < memory.available_bytes() < 1e15
