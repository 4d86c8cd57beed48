"""Tables that fit a narrow page: one whose words have no room beside each other becomes a list.

Prefect's pages give Markdown the room beside their margin, and a wider table runs over what stands
there. They take away every mark at which a word might be broken, and one that is part of the word
would be copied with it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

# Characters that a page of 1,300 pixels has room for, and what lies between two columns.
_WIDTH = 79
_BETWEEN = 2
# Of a row that Markdown takes for a table's; what is quoted or fenced begins otherwise.
_ROW = "|"
_TARGET = re.compile(r"\]\([^)]*\)")
_ESCAPED = re.compile(r"\\(.)")
_PIECES = re.compile(r"\s+|(?<=-)")


def narrowed(text: str, width: int = _WIDTH) -> str:
    """Markdown whose tables all fit: of one that does not, each row is an item that wraps.

    Args:
        text: tables as `markdown` writes them, a bar in a cell escaped; what is none of these
            stays as it is.
        width: characters of a line.
    """
    parts: list[str] = []
    for is_table, lines in groupby(text.split("\n"), lambda line: line.startswith(_ROW)):
        found = list(lines)
        if is_table and len(found) > 1:
            header, rows = _cells(found[0]), [_cells(line) for line in found[2:]]
            is_whole = all(len(row) == len(header) for row in rows)
            if is_whole and _needs([header, *rows]) > width:
                found = list(_items(header, rows))
        parts += found
    return "\n".join(parts)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("| ").removesuffix(" |").split(" | ")]


def _needs(rows: Sequence[Sequence[str]]) -> int:
    """Characters below which the columns of a table cannot be pressed together."""
    columns = list(zip(*rows, strict=True))
    longest = [max(map(_longest_piece, column)) for column in columns]
    return sum(longest) + _BETWEEN * (len(columns) - 1)


def _longest_piece(cell: str) -> int:
    shown = html.unescape(_ESCAPED.sub(r"\1", _TARGET.sub("", cell)))
    return max(len(piece) for piece in _PIECES.split(shown))


def _items(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        told = (
            f"**{name}** {cell}".strip() if name else cell
            for name, cell in zip(header, row, strict=True)
            if cell
        )
        yield f"- {' · '.join(told)}"
