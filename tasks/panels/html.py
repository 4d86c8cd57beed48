"""Panels as HTML, for the report. Everything in them is data: nothing of it becomes markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

from markupsafe import Markup

from tasks.panels.numbers import cell, number
from tasks.panels.panels import Cell, Curve, Flow, Graph, Histogram, Panel, Sample, Samples, Table
from tasks.panels.svg import bar_chart, line_chart
from tasks.panels.svg_flow import flow
from tasks.panels.svg_graph import graph
from tasks.panels.templates import Template

_ROWS = 500
_SAMPLES = 100
_SAMPLE_CHARACTERS = 4_000
_OPEN_LINES, _OPEN_CHARACTERS = 12, 1_000

_draw = Template("tasks.panels", "html.jinja", cell=cell, number=number)


@singledispatch
def _body(panel: Panel) -> Markup:
    raise TypeError(f"{type(panel).__name__} is no panel; see tasks/panels/panels.py")


def html(panel: Panel) -> str:
    """A `<figure class="panel">` with heading, content and note.

    Raises:
        TypeError: it is of no class in `tasks/panels/panels.py`.
    """
    return str(_draw("figure", title=panel.title, body=_body(panel), note=panel.note))


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that scrolls sideways; columns that hold numbers alone are set to the right."""
    numeric = [
        any(_numeric(row[index]) for row in rows)
        and all(_numeric(row[index]) or row[index] is None for row in rows)
        for index in range(len(columns))
    ]
    hidden = max(len(rows) - _ROWS, 0)
    return str(_draw("table", columns=columns, rows=rows[:_ROWS], numeric=numeric, hidden=hidden))


def _numeric(value: Cell) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _drawn(svg: str, otherwise: str) -> Markup:
    return Markup(svg) if svg else _draw("remark", text=otherwise)


@_body.register
def _table(panel: Table) -> Markup:
    if not panel.rows:
        return _draw("remark", text="No rows.")
    return Markup(table(panel.columns, panel.rows))


@_body.register
def _curve(panel: Curve) -> Markup:
    drawn = line_chart(
        panel.title, panel.x_label, panel.y_label, panel.series, panel.log_x, panel.log_y
    )
    return _drawn(drawn, "No points.")


@_body.register
def _histogram(panel: Histogram) -> Markup:
    return _drawn(bar_chart(panel.title, panel.x_label, panel.edges, panel.counts), "No bins.")


@_body.register
def _graph(panel: Graph) -> Markup:
    drawn = graph(panel.title, panel.nodes, panel.edges)
    return _draw("wide", drawn=Markup(drawn)) if drawn else _draw("remark", text="Empty.")


@_body.register
def _flow(panel: Flow) -> Markup:
    drawn = flow(panel.title, panel.streams)
    return _draw("wide", drawn=Markup(drawn)) if drawn else _draw("remark", text="Empty.")


@dataclass(frozen=True)
class _Excerpt:
    """A sample as far as it is shown, how much of it is not, and whether it is unfolded."""

    heading: str
    facts: Mapping[str, Cell]
    text: str
    cut: int
    open: bool


def _excerpt(sample: Sample) -> _Excerpt:
    text = sample.text[:_SAMPLE_CHARACTERS]
    short = text.count("\n") < _OPEN_LINES and len(text) < _OPEN_CHARACTERS
    return _Excerpt(sample.heading, sample.facts, text, len(sample.text) - len(text), short)


@_body.register
def _samples(panel: Samples) -> Markup:
    if not panel.items:
        return _draw("remark", text="None.")
    excerpts = [_excerpt(sample) for sample in panel.items[:_SAMPLES]]
    return _draw("samples", excerpts=excerpts, hidden=max(len(panel.items) - _SAMPLES, 0))
