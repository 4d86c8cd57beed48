"""Panels as pictures of their own: SVG files that show in a light and a dark page."""

from __future__ import annotations

import re

from tasks.engine.panels import Curve, Graph, Histogram, Panel
from tasks.engine.svg import bar_chart, line_chart
from tasks.engine.svg_graph import graph

_VIEW = re.compile(r'viewBox="0 0 (\d+) (\d+)"')
_PAPER, _INK = "#ffffff", "#1d2129"
_MARGIN = 12


def picture(panel: Panel) -> str:
    """The drawing of a panel; empty for one of words and numbers, or with nothing to draw."""
    if isinstance(panel, Curve):
        drawn = line_chart(
            panel.title, panel.x_label, panel.y_label, panel.series, panel.log_x, panel.log_y
        )
    elif isinstance(panel, Histogram):
        drawn = bar_chart(panel.title, panel.x_label, panel.edges, panel.counts)
    elif isinstance(panel, Graph):
        drawn = graph(panel.title, panel.nodes, panel.edges)
    else:
        return ""
    return standalone(drawn) if drawn else ""


def standalone(drawn: str) -> str:
    """A drawing for a page as a file: with its size, paper and ink, which the page gave it.

    Raises:
        ValueError: it is no SVG with a `viewBox` from 0 0.
    """
    view = _VIEW.search(drawn)
    if view is None:
        raise ValueError(f"no drawing with a viewBox: {drawn[:80]}")
    width, height = (int(side) for side in view.groups())
    inner = drawn.replace("<svg ", f'<svg x="0" y="0" width="{width}" height="{height}" ', 1)
    whole, high = width + 2 * _MARGIN, height + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{high}" '
        f'viewBox="{-_MARGIN} {-_MARGIN} {whole} {high}" color="{_INK}" '
        'font-family="system-ui, sans-serif">'
        f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="{whole}" height="{high}" fill="{_PAPER}"/>'
        f"{inner}</svg>\n"
    )
