"""Panels that are tables, in a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from flows.cli.tables import console
from tasks.panels.panels import Panel, Table

_SHOWN = 20


def print_panels(panels: Iterable[Panel]) -> None:
    """Print the first rows of the tables among them that have any, and how many more there are."""
    from rich import table as drawn

    for panel in panels:
        if not isinstance(panel, Table) or not panel.rows:
            continue
        shown = drawn.Table(title=panel.title, title_justify="left", box=None, pad_edge=False)
        for column in panel.columns:
            shown.add_column(column)
        for row in panel.rows[:_SHOWN]:
            shown.add_row(*("" if cell is None else str(cell) for cell in row))
        console().print(shown)
        if len(panel.rows) > _SHOWN:
            print(f"{len(panel.rows) - _SHOWN:,} more; --json lists them")
