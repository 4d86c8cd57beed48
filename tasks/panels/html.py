"""Panels as HTML, for the report. Everything in them is data: nothing of it becomes markup."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from tasks.panels.escaping import escaped
from tasks.panels.numbers import cell, number
from tasks.panels.panels import Cell, Curve, Graph, Histogram, Panel, Samples, Table
from tasks.panels.svg import bar_chart, line_chart
from tasks.panels.svg_graph import graph

_ROWS = 500
_SAMPLES = 100
_SAMPLE_CHARACTERS = 4_000
_OPEN_LINES = 12


@singledispatch
def _body(panel: Panel) -> str:
    raise TypeError(f"{type(panel).__name__} is no panel; see tasks/panels/panels.py")


def html(panel: Panel) -> str:
    """A `<figure class="panel">` with heading, content and note.

    Raises:
        TypeError: it is of no class in `tasks/panels/panels.py`.
    """
    body = _body(panel)
    note = f'<p class="note">{escaped(panel.note)}</p>' if panel.note else ""
    return f'<figure class="panel"><h4>{escaped(panel.title)}</h4>{body}{note}</figure>'


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that scrolls sideways; columns that hold numbers alone are set to the right."""
    right = [
        any(_numeric(row[index]) for row in rows)
        and all(_numeric(row[index]) or row[index] is None for row in rows)
        for index in range(len(columns))
    ]
    marks = [' class="number"' if numeric else "" for numeric in right]
    head = "".join(
        f'<th scope="col"{mark}>{escaped(name)}</th>'
        for name, mark in zip(columns, marks, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{mark}>{escaped(cell(value))}</td>" for value, mark in zip(row, marks, strict=True)
        )
        + "</tr>"
        for row in rows[:_ROWS]
    )
    left = len(rows) - _ROWS
    more = f'<p class="note">{number(left)} more rows are not shown.</p>' if left > 0 else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _numeric(value: Cell) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _empty(text: str) -> str:
    return f'<p class="note">{escaped(text)}</p>'


@_body.register
def _table(panel: Table) -> str:
    return table(panel.columns, panel.rows) if panel.rows else _empty("No rows.")


@_body.register
def _curve(panel: Curve) -> str:
    drawn = line_chart(
        panel.title, panel.x_label, panel.y_label, panel.series, panel.log_x, panel.log_y
    )
    return drawn or _empty("No points.")


@_body.register
def _histogram(panel: Histogram) -> str:
    return bar_chart(panel.title, panel.x_label, panel.edges, panel.counts) or _empty("No bins.")


@_body.register
def _graph(panel: Graph) -> str:
    drawn = graph(panel.title, panel.nodes, panel.edges)
    return f'<div class="scroll">{drawn}</div>' if drawn else _empty("Empty.")


@_body.register
def _samples(panel: Samples) -> str:
    if not panel.items:
        return _empty("None.")
    drawn = []
    for item in panel.items[:_SAMPLES]:
        facts = "".join(
            f"<span>{escaped(name)}: <b>{escaped(cell(value))}</b></span>"
            for name, value in item.facts.items()
        )
        text = item.text[:_SAMPLE_CHARACTERS]
        cut = len(item.text) - len(text)
        more = _empty(f"{number(cut)} characters more.") if cut else ""
        box = f'<pre dir="auto">{escaped(text)}</pre>' if text else ""
        opened = " open" if text.count("\n") < _OPEN_LINES and len(text) < 1000 else ""
        drawn.append(
            f'<details class="sample"{opened}><summary>{escaped(item.heading)}</summary>'
            f'<p class="facts">{facts}</p>{box}{more}</details>'
        )
    left = len(panel.items) - _SAMPLES
    return "".join(drawn) + (_empty(f"{number(left)} more are not shown.") if left > 0 else "")
