"""Tables in a terminal, and whole in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.table import Table

_PIPED_WIDTH = 200  # nobody's window cuts what a file or another program gets


def console() -> Console:
    """What is printed to, without markup."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(markup=False, highlight=False, width=width)


def print_rows(rows: Sequence[Mapping[str, str]], whole: Collection[str]) -> None:
    """Print rows of the same columns; nothing where there are none.

    Args:
        whole: columns that are never broken into lines.
    """
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, no_wrap=name in whole)
    for row in rows:
        table.add_row(*row.values())
    console().print(table)
