"""What is told of steps: rows of metrics, rates, shares of a GPU's speed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from llm.training import meters
from llm.training.distributed import Processes
from llm.training.figures import PendingFigures
from llm.training.memory import memory_in_use
from llm.training.meters import MEASURED, Meters
from llm.training.peak_flops import peak_flops, peak_flops_of
from llm.training.stability import Event, Stability
from tests.llm.training.small_run import CPU, run_of

UNLIMITED = torch.tensor([torch.inf, torch.inf])


def _pending(loss: float, skipped: bool = False, tokens: int = 100) -> PendingFigures:
    values = (torch.tensor(loss, dtype=torch.float64), torch.tensor(0.5), torch.tensor(skipped))
    groups = torch.tensor([3.0, 4.0])
    return PendingFigures(
        (*values, UNLIMITED, groups), ["matrix", "vector"], 1e-3, tokens, data_seconds=0.25
    )


def _meters(folder: Path, steps: int, **named: Any) -> Meters:
    return Meters(run_of(folder, steps=steps), CPU, Processes(0, 1), 1e6, Stability(), **named)


def test_every_step_has_its_figures_and_two_hundred_have_more(tmp_path: Path) -> None:
    made = _meters(tmp_path, 1000)
    for step in range(1, 1001):
        made.add(step, 8, _pending(5.0 - step / 1000))
    steps: dict[str, list[int]] = {}
    for step, name, _ in made.rows:
        steps.setdefault(name, []).append(step)
    for name in ("loss", "gradient_norm", "learning_rate"):
        assert steps.pop(name) == list(range(1, 1001))
    assert steps.pop("micro_batch_rows") == [1]
    assert set(steps) == {
        *("gradient_norm_matrix", "gradient_norm_vector", "skipped_steps"),
        *(MEASURED - {"mfu", "tasks_seconds"}),
    }
    assert all(found == list(range(5, 1001, 5)) for found in steps.values())
    values = {name: value for step, name, value in made.rows if step == 1000}
    assert values["loss"] == 4.0
    assert (values["gradient_norm_matrix"], values["gradient_norm_vector"]) == (3.0, 4.0)
    assert values["data_wait_seconds"] == 0.25


def test_a_rate_counts_steps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    made = _meters(tmp_path, 200)
    monkeypatch.setattr(meters, "peak_flops", lambda *_: 1e9)
    known = Meters(run_of(tmp_path, steps=200), CPU, Processes(0, 2), 1e6, Stability())
    for each in (made, known):
        each.begin(0)
        for step in (1, 2):
            now[0] += 0.5
            with each.aside():
                now[0] += 100.0
            each.add(step, 8, _pending(4.0))
    told = [(step, value) for step, name, value in made.rows if name == "tokens_per_second"]
    assert told == [(1, pytest.approx(200.0)), (2, pytest.approx(200.0))]
    assert "mfu" not in {name for _, name, _ in made.rows}
    shares = [value for _, name, value in known.rows if name == "mfu"]
    assert shares == [pytest.approx(200 * 1e6 / 2e9)] * 2  # of two devices
    facts = known.facts()
    assert facts["tokens_per_second"] == pytest.approx(200 / 201, abs=0.1)
    assert facts["mfu"] == pytest.approx(200 / 201 * 1e6 / 2e9, abs=1e-4)


def test_late_figures_wait_their_turn(tmp_path: Path) -> None:
    made = _meters(tmp_path, 200, behind=2)

    def read() -> list[int]:
        return [step for step, name, _ in made.rows if name == "loss"]

    for step in range(1, 5):
        made.add(step, 8, _pending(4.0))
        assert read() == list(range(1, step - 1))
    with made.aside():
        assert read() == [1, 2, 3, 4]
    made.measured(4, {"validation_loss": 3.5})
    assert made.last_step_of("validation_loss") == 4
    assert made.last_step_of("nothing") == 0


def test_what_is_done_again_is_told_once_and_events_stay(tmp_path: Path) -> None:
    made = _meters(tmp_path, 200, behind=1)
    for step, skipped in ((1, False), (2, False), (3, True), (4, False)):
        made.add(step, 8, _pending(4.0, skipped))
    made.flush()
    made.add(5, 8, _pending(4.0))  # not read yet, and never will be
    made.rolled_back(2, Event(4, "rolled back", None, None, ""))
    names = {(step, name) for step, name, _ in made.rows}
    assert {step for step, _ in names if step > 2} == {3, 4}
    assert {name for step, name in names if step > 2} == {
        *("skipped_loss", "skipped_gradient_norm", "rollback_to_step")
    }
    made.flush()
    assert made.last_step_of("loss") == 2


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H200", 989.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA B200", 2250.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA A10G", None),
        ("Tesla T4", None),
    ],
)
def test_peaks_go_by_whole_words(name: str, teraflops: float | None) -> None:
    found = peak_flops_of(name)
    assert found is None if teraflops is None else found == pytest.approx(teraflops * 1e12)


def test_a_cpu_has_no_peak_and_some_memory() -> None:
    assert peak_flops(CPU, "bf16") is None
    before = memory_in_use(CPU)
    held = torch.ones(64 << 18)  # 64 MiB
    assert 32 << 20 < memory_in_use(CPU) - before < 256 << 20
    assert held[-1] == 1
