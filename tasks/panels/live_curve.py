"""A figure of work in progress over time: a line of bars for a terminal, a chart for a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tasks.panels.markdown import sparkline
from tasks.panels.numbers import number

# More points than this become half as many, each the mean of two neighbours.
_POINTS = 512
_WIDTH, _HEIGHT = 64, 10
_LOSS = "loss"
_EIGHTHS = " ▁▂▃▄▅▆▇█"


class LiveCurve:
    """Collects one of the figures that a stage reports.

    Args:
        figure: its name.
    """

    def __init__(self, figure: str = _LOSS) -> None:
        self._figure = figure
        self._points: list[tuple[float, float]] = []
        self._each = 1  # values a point stands for
        self._open: list[tuple[float, float]] = []  # values of the point to come

    def add(self, done: int, figures: Mapping[str, str | int | float]) -> None:
        """What was reported when so many units were done."""
        value = figures.get(self._figure)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return
        self._open.append((done, value))
        if len(self._open) < self._each:
            return
        self._points.append(_mean(self._open))
        self._open = []
        if len(self._points) == _POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_mean(pair) for pair in pairs]
            self._each *= 2

    def _all(self) -> list[tuple[float, float]]:
        """The points, and the last value as it is."""
        return [*self._points, self._open[-1]] if self._open else self._points

    def line(self) -> str:
        """At most 20 bars; "" while there are fewer than two values."""
        points = self._all()
        return sparkline([y for _, y in points], False) if len(points) > 1 else ""

    def chart(self, unit: str) -> str:
        """Markdown: the values as an area, with first and last unit, highest, lowest and last
        value; "" while there are fewer than two values."""
        points = self._all()
        if len(points) < 2:
            return ""
        columns = _columns(points)
        low, high = min(columns), max(columns)
        span = (high - low) or 1.0
        # The lowest value is seen too: it fills an eighth of a line.
        filled = [1 + round((value - low) / span * (8 * _HEIGHT - 1)) for value in columns]
        lines = [
            "".join(_EIGHTHS[min(8, max(0, eighths - 8 * row))] for eighths in filled)
            for row in reversed(range(_HEIGHT))
        ]
        labels = ["" for _ in lines]
        labels[0], labels[-1] = number(high), number(low)
        room = max(map(len, labels))
        rows = [f"{label:>{room}} {line}" for label, line in zip(labels, lines, strict=True)]
        (first, _), (last, value) = points[0], points[-1]
        ends = f"{unit} {number(round(first))}"
        rows.append(" " * (room + 1) + ends + f"{number(round(last)):>{len(columns) - len(ends)}}")
        chart = "\n".join(rows)
        return f"{self._figure} {number(value)}\n\n```\n{chart}\n```"


class LiveCurves:
    """The loss, and each figure of a task: those with a / in their names."""

    def __init__(self) -> None:
        self._curves: dict[str, LiveCurve] = {}

    def add(self, done: int, figures: Mapping[str, str | int | float]) -> None:
        """What was reported when so many units were done."""
        for name in figures:
            if name == _LOSS or "/" in name:
                self._curves.setdefault(name, LiveCurve(name)).add(done, figures)

    def chart(self, unit: str) -> str:
        """Markdown: the charts one below the other; "" while there is none."""
        charts = [curve.chart(unit) for curve in self._curves.values()]
        return "\n\n".join(chart for chart in charts if chart)


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    xs, ys = zip(*points, strict=True)
    return sum(xs) / len(xs), sum(ys) / len(ys)


def _columns(points: Sequence[tuple[float, float]]) -> list[float]:
    """As many means as the chart is wide; a gap keeps the value before it."""
    begin, end = points[0][0], points[-1][0]
    held: list[list[float]] = [[] for _ in range(_WIDTH)]
    for x, y in points:
        share = (x - begin) / (end - begin) if end > begin else 0.0
        held[min(_WIDTH - 1, max(0, int(share * _WIDTH)))].append(y)
    found: list[float] = []
    for values in held:
        found.append(sum(values) / len(values) if values else found[-1])
    return found
