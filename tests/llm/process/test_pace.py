"""Rate and time left, against a clock that is set by hand."""

from __future__ import annotations

import json
import time

import pytest

from llm.process import events
from llm.process.pace import Pace


class Clock:
    """Stands for `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_the_time_before_the_first_unit_is_no_measure(clock: Clock) -> None:
    pace = Pace(100, already=40)
    clock.now += 600.0
    assert pace.figures(40) == {}
    assert pace.figures(41) == {}
    clock.now += 0.4
    assert pace.figures(60) == {}, "too short a time to go by"
    clock.now += 1.6
    assert pace.figures(61) == {"per_second": 10.0, "seconds_left": 4}
    assert pace.figures(100) == {"per_second": 29.5, "seconds_left": 0}


def test_events_come_once_a_second_with_the_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = events.Progress(100, "step", 0)
    for step in range(1, 101):
        clock.now += 0.25
        progress.report(step, loss=1.23456)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["done"] for event in said] == list(range(4, 101, 4))
    assert said[0] == {
        "event": "progress",
        "done": 4,
        "total": 100,
        "unit": "step",
        "seconds_left": 24,
        "loss": 1.2346,
    }
    assert said[-1]["seconds_left"] == 0
