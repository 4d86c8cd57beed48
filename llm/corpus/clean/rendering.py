r"""Chosen blocks of a page as text or as Markdown (CommonMark, with the tables of GFM).

Both have a line for every heading, item and row, an indentation for every level of a list, and
listings as they are. Markdown marks what they are: `#` before headings, fences with the language
around listings, `>` before quotations, `|` between cells. In text cells are apart by a tab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llm.corpus.clean.blocks import Block, Blocks
from llm.corpus.clean.markup_events import MarkupEvents

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_TERMS = frozenset(("dt", "dd"))
_CELLS = frozenset(("td", "th"))
# A class that names a language, as Markdown's and highlighters' usage has it.
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:language|lang|highlight-source|highlight|sourcecode|brush:)[-\s]"
    r"([a-z0-9+#_.]{1,20})",
    re.IGNORECASE,
)
_NO_LANGUAGE = frozenset(
    ("default", "none", "notranslate", "text", "plaintext", "plain", "nohighlight")
)
# A table with any of these in it and with fewer rows lays out a page.
_OF_LAYOUT = frozenset(("ul", "ol", "pre", *_HEADINGS))
_ROWS = 3
_FENCE = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE)


class _Place(NamedTuple):
    """What a block stands in, from the outside: items of lists (their elements) and quotations
    (the complements of theirs); and the table, row and cell."""

    around: tuple[int, ...]
    table: int
    row: int
    cell: int


_NOWHERE = _Place((), -1, -1, -1)


class Renderer:
    """Renders one page."""

    def __init__(self, page: MarkupEvents, found: Blocks, markdown: bool) -> None:
        self._page, self._found, self._markdown = page, found, markdown
        self._places: dict[int, _Place] = {-1: _NOWHERE}
        self._numbers: dict[int, str] = {}
        self._seen: set[int] = set()

    def render(self, keep: Sequence[bool]) -> str:
        """The text of the kept blocks, without white space at the ends of its lines."""
        lines: list[str] = []
        last: tuple[int, _Place] | None = None
        for element, place, text in self._units(keep):
            first, rest = self._prefixes(place)
            if last is not None:
                lines += self._between(last, element, place)
            for number, line in enumerate(text.split("\n")):
                lines.append(f"{rest if number else first}{line}".rstrip())
            last = element, place
        return "\n".join(lines)

    def _between(self, last: tuple[int, _Place], element: int, place: _Place) -> list[str]:
        """A blank line between two units, but for lines of a paragraph, items, terms and rows."""
        tags, before = self._page.tags, last[1]
        pair = {tags[element], tags[last[0]]}
        if "pre" not in pair:
            if element == last[0] or (place.table >= 0 and place.table == before.table):
                return []
            if pair <= _TERMS:
                return []
            if (
                place.around != before.around
                and place.around
                and before.around
                and place.around[0] >= 0
                and self._list_of(place) == self._list_of(before)
            ):
                return []
        common = 0
        for one, other in zip(place.around, before.around, strict=False):
            if one != other or one >= 0:
                break
            common += 1
        return [">" * common if self._markdown else ""]

    def _list_of(self, place: _Place) -> int:
        return self._page.parents[place.around[0]]

    def _units(self, keep: Sequence[bool]) -> Iterator[tuple[int, _Place, str]]:
        """Kept blocks, rows of a table as one each."""
        rows: dict[int, dict[int, list[str]]] = {}  # of the table at hand: row, cell, texts
        table: _Place | None = None
        for block, kept in zip(self._found.blocks, keep, strict=True):
            if not kept:
                continue
            place = self._place(block.element)
            if table is not None and place.table != table.table:
                yield from self._rows(table, rows)
                table, rows = None, {}
            if place.table >= 0:
                table = table or place
                text = self._in_cell(block)
                rows.setdefault(place.row, {}).setdefault(place.cell, []).append(text)
                continue
            yield block.element, place, self._block(block)
        if table is not None:
            yield from self._rows(table, rows)

    def _rows(
        self, table: _Place, rows: dict[int, dict[int, list[str]]]
    ) -> Iterator[tuple[int, _Place, str]]:
        page, place = self._page, table._replace(row=-1, cell=-1)
        lines: list[str] = []
        width = 0
        for row, found in rows.items():
            cells = [
                " ".join(found[cell]) if cell in found else ""
                for cell in page.children(row)
                if page.tags[cell] in _CELLS
            ]
            width = max(width, len(cells))
            if not self._markdown:
                lines.append("\t".join(cells))
                continue
            escaped = [cell.replace("|", "\\|") for cell in cells]
            lines.append(f"| {' | '.join(escaped)} |")
        if self._markdown:
            lines = [line + " |" * (width - _cells(line)) for line in lines]
            lines.insert(1, "|" + " --- |" * width)
        yield table.table, place, "\n".join(lines)

    def _in_cell(self, block: Block) -> str:
        if self._page.tags[block.element] != "pre":
            return block.text
        lines = [line.strip() for line in block.text.split("\n")]
        if not self._markdown:
            return " ".join(lines)
        return "<br>".join(f"`{line}`" for line in lines if line)

    def _block(self, block: Block) -> str:
        tag = self._page.tags[block.element]
        if not self._markdown:
            return block.text
        if tag == "pre":
            longest = max((len(m[1]) for m in _FENCE.finditer(block.text)), default=2)
            fence = "`" * max(3, longest + 1)
            return f"{fence}{self._language(block.element)}\n{block.text}\n{fence}"
        level = self._level(block.element)
        return f"{'#' * level} {block.text}" if level else block.text

    def _level(self, element: int) -> int:
        # A heading's text may stand in a division of its own.
        for _ in range(3):
            if level := _HEADINGS.get(self._page.tags[element]):
                return level
            element = self._page.parents[element]
            if element < 0:
                break
        return 0

    def _language(self, element: int) -> str:
        """Of a listing: by its own class or data, of the <code> in it, or what it stands in."""
        page = self._page
        near = list(range(element, min(page.after[element], element + 3)))
        above = page.parents[element]
        for _ in range(3):
            if above < 0 or page.tags[above] == "body":
                break
            near.append(above)
            above = page.parents[above]
        for one in near:
            attributes = page.attributes[one]
            for key in ("data-lang", "data-language"):
                if value := attributes.get(key):
                    return "".join(value.split())[:20].lower()
            for match in _LANGUAGE.finditer(attributes.get("class") or ""):
                if (name := match[1].lower()) not in _NO_LANGUAGE:
                    return name
        return ""

    def _prefixes(self, place: _Place) -> tuple[str, str]:
        """What stands before the first line of a unit, and before the others."""
        first = rest = ""
        for item in place.around:
            if item < 0:
                mark = indent = "> " if self._markdown else ""
            else:
                sign = self._sign(item)
                mark = indent = " " * len(sign)
                if item not in self._seen:
                    self._seen.add(item)
                    mark = sign
            first, rest = first + mark, rest + indent
        return first, rest

    def _sign(self, item: int) -> str:
        if item not in self._numbers:
            page, above = self._page, self._page.parents[item]
            if page.tags[above] == "ol":
                start = page.attributes[above].get("start") or "1"
                number = int(start) if start.isascii() and start.isdigit() and len(start) < 7 else 1
                for child in page.children(above):
                    if page.tags[child] == "li":
                        self._numbers[child] = f"{number}. "
                        number += 1
            self._numbers.setdefault(item, "- ")
        return self._numbers[item]

    def _place(self, element: int) -> _Place:
        """Where an element stands; found once for each, from the outermost unknown inwards."""
        page, places = self._page, self._places
        unknown = []
        while element not in places:
            unknown.append(element)
            element = page.parents[element]
        place = places[element]
        for inner in reversed(unknown):
            tag = page.tags[inner]
            if tag == "li":
                place = place._replace(around=(*place.around, inner))
            elif tag == "blockquote":
                place = place._replace(around=(*place.around, ~inner))
            elif tag == "table":
                place = place._replace(table=inner if _is_data(page, inner, self._markdown) else -1)
            elif tag == "tr" and place.table >= 0:
                place = place._replace(row=inner)
            elif tag in _CELLS and place.row >= 0:
                place = place._replace(cell=inner)
            elif tag == "caption" and place.table >= 0:
                place = place._replace(table=-1)
            places[inner] = place
        return place


def _cells(line: str) -> int:
    return line.replace("\\|", "").count("|") - 1


def _is_data(page: MarkupEvents, table: int, listings: bool) -> bool:
    """Whether a table holds rows of cells, and not parts of a page.

    Args:
        listings: those of several lines can stand in a cell.
    """
    tags = page.tags[table + 1 : page.after[table]]
    rows = tags.count("tr")
    if "table" in tags or not tags.count("td") + tags.count("th") > rows > 0:
        return False
    if rows < _ROWS and not _OF_LAYOUT.isdisjoint(tags):
        return False
    return listings or not any(
        "\n" in page.text(table + 1 + number).strip()
        for number, tag in enumerate(tags)
        if tag == "pre"
    )
