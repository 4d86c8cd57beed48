"""One number in, a run out."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.training.planner import rates
from llm.training.planner.dial import BudgetError, Plan, Question, plan
from llm.training.planner.rates import Rate, UnknownRateError

H200 = rates.measured_elsewhere("h200")
CPU = Rate("a CPU", "fp32", ((3_000_000, 1e11), (5_000_000, 2e11)), "a test")


def asked(
    size: str = "", tokens: int = 0, seconds: float = 0.0, devices: int = 1, memory: float = 0.0,
    rate: Rate = H200, price: float = 0.0,
) -> Plan:  # fmt: skip
    question = Question(
        size, tokens, seconds, devices, 0, 0, "muon", int(memory), price, one_machine=False
    )
    return plan(question, rate)


def test_hours_are_operations_by_the_rate() -> None:
    found = asked("124M", price=2.0)
    # 2.5e9 tokens at the rate that was measured: 459,383 a second.
    assert found.tokens / found.seconds == pytest.approx(459_383, rel=0.01)
    assert found.flops == pytest.approx(
        found.tokens * (6 * 125.86e6 + 12 * 16 * 768 * 2048), rel=1e-3
    )
    assert found.cost == pytest.approx(2.0 * found.seconds / 3600)
    assert found.steps == round(found.tokens / found.batch_tokens)
    assert asked("124M", devices=8).seconds == pytest.approx(found.seconds / 8)


def test_tokens_decide_the_size() -> None:
    found = asked(tokens=3_000_000_000)
    assert found.tokens == 3_000_000_000
    assert found.architecture.parameters == pytest.approx(150e6, rel=0.05)


@pytest.mark.parametrize("hours", [1, 8, 100])
def test_a_budget_is_used_and_not_exceeded(hours: float) -> None:
    found = asked(seconds=3600 * hours)
    assert 0.8 * 3600 * hours < found.seconds <= 3600 * hours * 1.001
    assert found.tokens <= 20 * found.nominal * 1.001


def test_a_budget_and_a_size_leave_the_tokens() -> None:
    found = asked("1B", seconds=3600.0)
    assert found.seconds == pytest.approx(3600, rel=1e-3)
    assert "a smaller model would do better" in found.notes[0]


def test_a_budget_for_less_than_the_smallest_model_is_that_with_fewer_tokens() -> None:
    found = asked(seconds=600.0, rate=CPU)
    assert found.seconds == pytest.approx(600, rel=0.01)
    assert found.architecture.parameters == pytest.approx(3.1e6, rel=0.1)


def test_memory_that_does_not_suffice_is_told_with_what_would() -> None:
    [note] = asked("7B", memory=80e9).notes
    assert "does not fit into 80 GB" in note
    devices = int(note.split("; ")[1].split()[0])
    assert devices == 2
    assert asked("7B", memory=141e9).micro_batch_rows >= 1
    assert not asked("124M", memory=80e9).notes


def test_devices_that_a_batch_cannot_occupy_are_told() -> None:
    [note] = asked("124M", devices=1000).notes
    assert "177 sequences: of 1,000 devices the others would idle" in note
    assert "not reckoned with" in asked("124M", devices=8).notes[0]


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({}, "say one of"),
        ({"tokens": 10**9, "seconds": 60.0}, "leave one out"),
        ({"size": "7B", "seconds": 0.01}, "do not suffice for one step"),
        ({"tokens": 50}, "50 tokens are no sequence of"),
    ],
)
def test_questions_without_an_answer(question: dict[str, object], says: str) -> None:
    with pytest.raises(BudgetError, match=says):
        asked(**question)  # type: ignore[arg-type]


def test_a_rate_is_remembered_by_device_and_precision(tmp_path: Path) -> None:
    assert rates.read(tmp_path, "AMD EPYC, 2 threads, AVX2", "fp32") is None
    rates.keep(tmp_path, "AMD EPYC, 2 threads, AVX2", "fp32", [(3_000_000, 1e11)], "2026-11-27")
    found = rates.read(tmp_path, "AMD EPYC, 2 threads, AVX2", "fp32")
    assert found is not None
    assert found.flops_per_second(10**9) == 1e11
    assert rates.read(tmp_path, "AMD EPYC, 2 threads, AVX2", "bf16") is None
    assert rates.read(tmp_path, "AMD EPYC, 2 threads, AVX512", "fp32") is None
    [file] = (tmp_path / "rates").iterdir()
    file.write_text("{")
    assert rates.read(tmp_path, "AMD EPYC, 2 threads, AVX2", "fp32") is None


def test_between_measured_sizes_the_rate_lies_between_theirs() -> None:
    assert CPU.flops_per_second(1_000_000) == 1e11
    assert CPU.flops_per_second(5_000_000) == 2e11
    assert 1e11 < CPU.flops_per_second(4_000_000) < 2e11
    assert CPU.flops_per_second(10**10) == 2e11


def test_a_device_nobody_measured() -> None:
    with pytest.raises(UnknownRateError, match=r"'h300' has no measured rate; known are .* h200"):
        rates.measured_elsewhere("h300")
