"""Charts as inline SVG: lines, bars of a histogram, horizontal stacked bars.

Lines and letters take the colour of the surrounding text, and the series colours are chosen to
be read on white and on near-black, so one drawing serves the light and the dark page. Ours,
because plotting libraries draw in fixed colours (matplotlib) or with a script (plotly, Vega).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.panels.escaping import escape_xml
from tasks.panels.numbers import number
from tasks.panels.svg_axes import Scale, drawable, exact, fit_scale, tick_label

COLOURS = ("#4c82d9", "#d9772b", "#2f9e6e", "#c4527f", "#8b6fd6", "#a98a1f", "#2f9bb5", "#8a8f98")
_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _BOTTOM = 64, 16, 44
_LEGEND_LINE = 18
_CHARACTER = 6.6  # width of an average one at 12 px
_POINTS = 500
_ROW, _LABEL = 26, 190
# Bins that differ more in width than this are drawn equally wide, with their edges as labels.
_EVEN = 1.01


@dataclass(frozen=True)
class Bar:
    """A horizontal bar of stacked lengths, with a text behind it."""

    label: str
    lengths: Sequence[float]
    text: str


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    log_x: bool,
    log_y: bool,
) -> str:
    """Lines over common axes; a series of one point is a dot. Empty if nothing can be drawn."""
    shown = {
        name: [p for p in points if drawable(p[:1], log_x) and drawable(p[1:], log_y)]
        for name, points in series.items()
    }
    shown = {name: points for name, points in shown.items() if points}
    if not shown:
        return ""
    legend, top = _legend(list(shown))
    bottom = top + _HEIGHT - _BOTTOM
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    if log_x or min(xs) == max(xs):
        across = fit_scale(xs, _LEFT, _WIDTH - _RIGHT, log_x, 8)
    else:  # no room is left beside the first and last point
        across = exact(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    up = fit_scale(ys, bottom, top, log_y, 6)
    parts = [legend, _axes(across.ticks(8), up, bottom, x_label, y_label)]
    for index, points in enumerate(shown.values()):
        colour = COLOURS[index % len(COLOURS)]
        dash = ' stroke-dasharray="6 4"' if index >= len(COLOURS) else ""
        places = [(across.place(x), up.place(y)) for x, y in thin_out(points, _POINTS)]
        if len(places) == 1:
            x, y = places[0]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" '
            f'stroke-linejoin="round"{dash}/>'
        )
    return _svg(title, bottom + _BOTTOM, parts)


def bar_chart(
    title: str, x_label: str, edges: Sequence[float], counts: Mapping[str, Sequence[float]]
) -> str:
    """Bars between edges, those of several series side by side."""
    bins = len(edges) - 1
    if bins < 1 or not counts:
        return ""
    legend, top = _legend(list(counts) if len(counts) > 1 else [])
    bottom = top + _HEIGHT - _BOTTOM
    values = [value for series in counts.values() for value in series]
    up = fit_scale([0.0, *values, *([] if any(values) else [1.0])], bottom, top, False, 6)
    widths = [high - low for low, high in pairwise(edges)]
    if min(widths) > 0 and max(widths) / min(widths) <= _EVEN:
        across = exact(edges[0], edges[-1], _LEFT, _WIDTH - _RIGHT)
        marks, places = across.ticks(8), [across.place(edge) for edge in edges]
    else:
        across = exact(0, bins, _LEFT, _WIDTH - _RIGHT)
        places = [across.place(index) for index in range(bins + 1)]
        every = -(-(bins + 1) // 12)
        marks = [(places[i], tick_label(edges[i])) for i in range(0, bins + 1, every)]
    parts = [legend, _axes(marks, up, bottom, x_label, "")]
    for index, (name, series) in enumerate(counts.items()):
        for low, high, value, place in zip(edges, edges[1:], series, range(bins), strict=False):
            if not value:
                continue
            room = places[place + 1] - places[place]
            gap = min(1.0, room * 0.1)
            wide = (room - gap) / len(counts)
            left, y = places[place] + gap / 2 + index * wide, up.place(value)
            hint = f"{name}, {number(low)} to {number(high)}: {number(value)}"
            parts.append(
                f'<rect x="{left:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{bottom - y:.1f}" '
                f'fill="{COLOURS[index % len(COLOURS)]}"><title>{escape_xml(hint)}</title></rect>'
            )
    return _svg(title, bottom + _BOTTOM, parts)


def stacked_bars(title: str, parts_of: Sequence[str], bars: Sequence[Bar]) -> str:
    """Horizontal bars from one left edge, to one scale: a funnel, or times.

    Args:
        parts_of: names of the stacked lengths, for the legend; none is drawn for a single one.
    """
    if not bars:
        return ""
    legend, top = _legend(list(parts_of) if len(parts_of) > 1 else [])
    behind = max(len(bar.text) for bar in bars) * _CHARACTER + 14
    longest = max(sum(bar.lengths) for bar in bars) or 1.0
    across = Scale(0.0, longest, _LABEL, _WIDTH - behind, False)
    drawn = [legend]
    for row, bar in enumerate(bars):
        y, x = top + row * _ROW, float(_LABEL)
        middle = y + _ROW / 2 + 4
        drawn.append(_text(_LABEL - 8, middle, bar.label, "end"))
        for index, length in enumerate(bar.lengths):
            if length <= 0:
                continue
            # A pixel at least: a stage that removed one of a million removed something.
            wide = max(across.place(length) - _LABEL, 1.0)
            named = f"{parts_of[index]}: {number(length)}"
            drawn.append(
                f'<rect x="{x:.1f}" y="{y + 4}" width="{wide:.1f}" height="{_ROW - 8}" '
                f'fill="{COLOURS[index % len(COLOURS)]}"><title>{escape_xml(named)}</title></rect>'
            )
            x += wide
        drawn.append(_text(x + 6, middle, bar.text, "start"))
    return _svg(title, top + len(bars) * _ROW + 6, drawn)


def thin_out(points: Sequence[tuple[float, float]], max_points: int) -> list[tuple[float, float]]:
    """About `max_points` of the points: both ends, the lowest and highest of each interval."""
    if len(points) <= max_points:
        return list(points)
    groups = max(1, max_points // 2)
    chosen = {0, len(points) - 1}
    for group in range(groups):
        interval = range(group * len(points) // groups, (group + 1) * len(points) // groups)
        chosen.add(min(interval, key=lambda index: points[index][1]))
        chosen.add(max(interval, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(chosen)]


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """Its drawing, in as many lines as it takes, and where the chart below it begins."""
    drawn, x, line = [], float(_LEFT), 0
    for index, name in enumerate(names):
        wide = len(name) * _CHARACTER + 44
        if x > _LEFT and x + wide > _WIDTH:
            x, line = float(_LEFT), line + 1
        y = 8 + line * _LEGEND_LINE
        colour = COLOURS[index % len(COLOURS)]
        drawn.append(f'<rect x="{x:.1f}" y="{y}" width="12" height="8" rx="2" fill="{colour}"/>')
        drawn.append(_text(x + 18, y + 8, name, "start"))
        x += wide
    return "".join(drawn), 16 + (line + 1) * _LEGEND_LINE if names else 16


def _axes(
    marks: Sequence[tuple[float, str]], up: Scale, bottom: float, x_label: str, y_label: str
) -> str:
    right = _WIDTH - _RIGHT
    drawn = []
    for y, label in up.ticks(6):
        drawn.append(
            f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            'stroke-opacity="0.13"/>'
        )
        drawn.append(_text(_LEFT - 8, y + 4, label, "end"))
    drawn.append(
        f'<line x1="{_LEFT}" x2="{right}" y1="{bottom:.1f}" y2="{bottom:.1f}" '
        'stroke="currentColor" stroke-opacity="0.55"/>'
    )
    for x, label in marks:
        drawn.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" y2="{bottom + 5:.1f}" '
            'stroke="currentColor" stroke-opacity="0.55"/>'
        )
        drawn.append(_text(x, bottom + 18, label, "middle"))
    drawn.append(_text((_LEFT + right) / 2, bottom + 37, x_label, "middle"))
    if y_label:
        middle = (up.start + up.end) / 2
        drawn.append(
            f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape_xml(y_label)}</text>"
        )
    return "".join(drawn)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape_xml(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape_xml(title)}" '
        f'font-size="12" fill="currentColor">{"".join(parts)}</svg>'
    )
