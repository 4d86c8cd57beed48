"""The curve of work in progress."""

from __future__ import annotations

import math

import pytest

from tasks.panels.live_curve import LiveCurve, LiveCurves


def _falling(steps: int) -> LiveCurve:
    curve = LiveCurve()
    for step in range(1, steps + 1):
        curve.add(step, {"loss": 8.0 - 6.0 * step / steps, "tokens_per_second": 9e9})
    return curve


def test_a_falling_loss_is_a_falling_line() -> None:
    line = _falling(1000).line()
    assert len(line) == 20
    assert line == "".join(sorted(line, reverse=True))
    assert line[0] == "█"
    assert line[-1] == "▁"


def test_one_value_is_no_curve() -> None:
    curve = LiveCurve()
    assert (curve.line(), curve.chart("step")) == ("", "")
    for value in (math.nan, math.inf, "text"):
        curve.add(1, {"loss": value})
    curve.add(2, {"accuracy": 0.5})
    curve.add(3, {"loss": 4.0})
    assert (curve.line(), curve.chart("step")) == ("", "")


def test_a_chart_says_where_it_begins_and_ends() -> None:
    text = _falling(5000).chart("step")
    head, _, body = text.partition("\n\n")
    assert head == "loss 2"
    _, *lines, ends, _ = body.splitlines()
    # Means of the first and last of 64 columns.
    assert float(lines[0].split()[0]) == pytest.approx(8 - 6 / 128, abs=0.02)
    assert float(lines[-1].split()[0]) == pytest.approx(2 + 6 / 128, abs=0.02)
    # As a straight line falls: 6.4 columns a line, of which one is cut.
    full = [line.count("█") for line in lines]
    assert full == sorted(full)
    assert (full[0], full[-1]) == (1, 58)
    assert ends.split()[0] == "step"
    assert ends.endswith("5,000")
    assert len({len(line) for line in [*lines, ends]}) == 1


def test_a_long_run_stays_small_and_a_resumed_or_rolled_back_one_is_drawn() -> None:
    curve = _falling(100_000)
    assert len(curve._points) <= 512
    curve.add(50, {"loss": 5.0})
    curve.add(60, {"loss": 4.0})
    assert "loss 4" in curve.chart("step")
    flat = LiveCurve()
    for step in (1, 1, 1):
        flat.add(step, {"loss": 3.0})
    assert "3" in flat.chart("step")


def test_tasks_have_curves_beside_the_loss() -> None:
    curves = LiveCurves()
    for step in range(1, 20):
        task = {"quiz/acc": 0.25 + step / 100} if step > 9 else {}
        curves.add(step, {"loss": 9.0 - step / 10, "tokens_per_second": 100.0, **task})
    loss, quiz = curves.chart("step").split("\n\nquiz/acc ")
    assert loss.startswith("loss 7.1\n\n```\n")
    assert quiz.startswith("0.44\n\n```\n")
    assert "step 10" in quiz
    assert LiveCurves().chart("step") == ""
