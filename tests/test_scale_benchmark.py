"""The cost model of benchmarks/scale.py, and its bars, on numbers that are known."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.scale import Cost, bars, costs, fitted, forecast


def row(pages: int, spent: float, peak_mb: float, **stages: float) -> dict[str, Any]:
    made = {name: {"cpu_seconds": took} for name, took in stages.items()}
    return {"pages": pages, "cpu_seconds": spent, "peak_mb": peak_mb, "stages": made}


def test_a_line_is_found_again() -> None:
    cost = fitted([100, 400, 1600], [2 + 0.01 * pages for pages in (100, 400, 1600)])
    assert cost == Cost(pytest.approx(2), pytest.approx(0.01))


def test_nothing_takes_less_than_nothing_when_there_is_nothing_to_do() -> None:
    assert fitted([1, 4, 16], [0.5, 3.8, 16.2]).fixed == 0.0


def test_every_stage_has_a_line_of_its_own() -> None:
    rows = [row(n, 0, 0, clean=1 + n / 100, dedup=2 + n / 1000) for n in (100, 400, 1600)]
    for one in rows:
        one["stages"]["dedup"]["decision_cpu_seconds"] = one["pages"] / 4000
    found = costs(rows)
    assert found["clean"] == Cost(pytest.approx(1), pytest.approx(0.01))
    assert found["dedup"] == Cost(pytest.approx(2), pytest.approx(0.00075))
    assert found["decision"].page == pytest.approx(0.00025)


def test_one_process_bounds_what_cores_can_do() -> None:
    found = {"clean": Cost(0, 0.036), "decision": Cost(0, 0.0036)}
    said = forecast(found, 4e6)
    assert said == {
        "core_hours": pytest.approx(44),
        "alone_hours": pytest.approx(4),
        "cores_for_a_day": pytest.approx(2),
    }
    assert forecast(found, 4e7)["cores_for_a_day"] is None


def test_bars_are_of_sixteen_times_by_once() -> None:
    time, page, memory = bars([row(100, 10, 500), row(400, 40, 500), row(1600, 200, 550)])
    assert (time["value"], time["holds"]) == (1.25, False)
    assert (page["value"], page["holds"]) == (pytest.approx(4 / 3), False)
    assert (memory["value"], memory["holds"]) == (1.1, True)
