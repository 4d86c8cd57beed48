"""Panels as pictures of their own: SVG files that show in a light and a dark page."""

from __future__ import annotations

import re

from tasks.panels.panels import Curve, Flow, Graph, Histogram, Panel
from tasks.panels.svg import bar_chart, line_chart
from tasks.panels.svg_flow import flow
from tasks.panels.svg_graph import graph

_VIEW = re.compile(r'viewBox="0 0 (\d+) (\d+)"')
_PAPER, _INK = "#ffffff", "#1d2129"
_MARGIN = 12
_MIN_WIDTH = 640


def picture(panel: Panel) -> str:
    """A panel's drawing as a file; empty for one of words and numbers, or with nothing to draw."""
    drawn = drawing(panel)
    return standalone(drawn) if drawn else ""


def drawing(panel: Panel) -> str:
    """The same for a page, which gives it ink and letters."""
    if isinstance(panel, Curve):
        return line_chart(
            panel.title, panel.x_label, panel.y_label, panel.series, panel.log_x, panel.log_y
        )
    if isinstance(panel, Histogram):
        return bar_chart(panel.title, panel.x_label, panel.edges, panel.counts)
    if isinstance(panel, Graph):
        return graph(panel.title, panel.nodes, panel.edges)
    if isinstance(panel, Flow):
        return flow(panel.title, panel.streams)
    return ""


def standalone(drawn: str) -> str:
    """A drawing for a page as a file: with its size, paper and ink, which the page gave it.

    Raises:
        ValueError: it is no SVG with a `viewBox` from 0 0.
    """
    view = _VIEW.search(drawn)
    if view is None:
        raise ValueError(f"no drawing with a viewBox: {drawn[:80]}")
    width, height = (int(side) for side in view.groups())
    # Pages stretch a picture to their width: a small drawing keeps its size on a wider paper.
    whole, high = max(width + 2 * _MARGIN, _MIN_WIDTH), height + 2 * _MARGIN
    left = (whole - width) / 2
    inner = drawn.replace(
        "<svg ", f'<svg x="{left:g}" y="{_MARGIN}" width="{width}" height="{height}" ', 1
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{high}" '
        f'viewBox="0 0 {whole} {high}" color="{_INK}" font-family="system-ui, sans-serif">'
        f"<style>.edge{{paint-order:stroke;stroke:{_PAPER};stroke-width:4px}}</style>"
        f'<rect width="{whole}" height="{high}" fill="{_PAPER}"/>'
        f"{inner}</svg>\n"
    )
