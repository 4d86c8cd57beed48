"""The guide as a PDF, typeset by typst: `pdf.typ` says how it looks, this file what is in it.

What is shown goes to typst as JSON and is set as text, so nothing in the data can be markup. The
fonts are those in typst's wheel; letters that they lack come from those of the machine, where it
has some. No date is written: equal guides give equal bytes.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from llm.errors import ExpectedError
from tasks.panels.escaping import printable
from tasks.panels.numbers import cell, number
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table
from tasks.panels.pictures import drawing
from tasks.report.blocks import (
    Block,
    Bullets,
    Display,
    Drawing,
    Figure,
    Folded,
    Guide,
    Heading,
    Listing,
    Paragraph,
    Part,
    Run,
    Text,
    Tiles,
)

_ROWS = 25
_SAMPLES = 12
_CHARACTERS = 500
_LONGEST = 64
_UNBROKEN = re.compile(rf"(\S{{{_LONGEST}}})(?=\S)")
_BLANK_LINES = re.compile(r"\n\s*\n")
_BREAK = "\u200b"
# Of what a column is given, in characters: what is longer is broken into lines.
_NARROW, _WIDE = 22, 60
_VIEW = re.compile(r'viewBox="0 0 (\d+) (\d+)"')
# What is as wide as the paper, in units of a drawing, and how high one may be.
_FULL_WIDTH, _FULL_HEIGHT = 920, 1150
_STYLE = "<style>.box{fill:#fff}.edge{fill:#5d6673;font-size:11px}</style>"


class NoTypesetterError(ExpectedError):
    """typst is not installed."""


def pdf(guide: Guide) -> bytes:
    """The file.

    Raises:
        NoTypesetterError: typst is not there; says how to get it.
    """
    try:
        import typst
    except ModuleNotFoundError as error:
        raise NoTypesetterError(
            "a PDF is set by typst, which is not installed: pip install 'ingot[pdf]', or from a "
            "checkout pip install -e '.[pdf]'"
        ) from error
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made: bytes = typst.compile(write_sources(guide, folder), root=folder, format="pdf")
    return made


def write_sources(guide: Guide, folder: Path) -> Path:
    """Write what typst reads: data, drawings, and the file that is to be compiled, returned."""
    content = {
        "title": _words(guide.title),
        "lead": _words(guide.lead),
        "parts": _Paper(folder).parts(guide.parts),
    }
    (folder / "guide.json").write_text(json.dumps(content), encoding="utf-8")
    template = files("tasks.report").joinpath("pdf.typ").read_text(encoding="utf-8")
    main = folder / "guide.typ"
    main.write_text(template, encoding="utf-8")
    return main


def _words(text: str) -> str:
    """Text that fits on paper: printable, and with places to break in what has no space."""
    return _UNBROKEN.sub(rf"\1{_BREAK}", printable(text))


def _run(run: Run) -> dict[str, Any]:
    tree = run.formula.tree if run.formula is not None else None
    return {"kind": run.kind, "text": _words(run.text), "formula": tree}


def _more(count: int, what: str) -> str:
    return (
        f"{number(count)} more {what} are in the report that opens in a browser."
        if count > 0
        else ""
    )


def _table(panel: Table) -> dict[str, Any]:
    rows = panel.rows[:_ROWS]
    cells = [[_words(cell(value)) for value in row] for row in rows]
    columns = [_words(name) for name in panel.columns]
    return {
        "block": "table",
        "title": _words(panel.title),
        "columns": columns,
        "rows": cells,
        "numeric": [_is_numeric([row[place] for row in rows]) for place in range(len(columns))],
        "widths": _widths(columns, cells),
        "left": _more(len(panel.rows) - _ROWS, "rows"),
        "note": _words(panel.note),
    }


def _is_numeric(values: Iterable[Cell]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in known
    )


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Of each column its share of the room, and 0 for one that is as wide as it is."""
    longest = [
        max([len(name), *(len(row[place]) for row in rows)]) for place, name in enumerate(columns)
    ]
    if sum(longest) <= 2 * _WIDE and max(longest, default=0) <= _WIDE:
        return [0] * len(columns)
    return [0 if length <= _NARROW else min(length, 2 * _WIDE) for length in longest]


def _width(svg: str) -> float:
    """Of a drawing, in percent of the paper's."""
    view = _VIEW.search(svg)
    width, height = (int(side) for side in view.groups()) if view else (_FULL_WIDTH, 1)
    scale = min(1.0, _FULL_WIDTH / width, _FULL_HEIGHT / height)
    return 100 * width * scale / _FULL_WIDTH


def _sample(sample: Sample) -> dict[str, Any]:
    text = sample.text[:_CHARACTERS]
    told = _BLANK_LINES.sub("\n", text)
    facts = ", ".join(f"{name}: {cell(value)}" for name, value in sample.facts.items())
    return {
        "heading": _words(sample.heading),
        "facts": _words(facts),
        "text": _words(told),
        "cut": _more(len(sample.text) - len(text), "characters"),
    }


def _samples(panel: Samples) -> dict[str, Any]:
    return {
        "block": "samples",
        "title": _words(panel.title),
        "items": [_sample(sample) for sample in panel.items[:_SAMPLES]],
        "left": _more(len(panel.items) - _SAMPLES, "samples"),
        "note": _words(panel.note),
    }


@dataclass
class _Paper:
    """Makes of parts what `pdf.typ` reads; drawings are written to a folder."""

    folder: Path
    _drawn: int = field(default=0, init=False)

    def parts(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Those that are for paper."""
        return [
            {
                "anchor": part.anchor,
                "title": _words(part.title),
                "blocks": [each for block in part.blocks for each in self._block(block)],
                "below": self.parts(part.below),
            }
            for part in parts
            if part.on_paper
        ]

    def _block(self, block: Block) -> list[dict[str, Any]]:
        """A block, or none where it is for a screen alone."""
        match block:
            case Paragraph(runs, tone):
                return [{"block": "paragraph", "runs": [_run(run) for run in runs], "tone": tone}]
            case Bullets(items):
                return [{"block": "bullets", "items": [[_run(r) for r in item] for item in items]}]
            case Heading(text):
                return [{"block": "heading", "text": _words(text)}]
            case Display(formula):
                return [{"block": "display", "tex": formula.tex, "formula": formula.tree}]
            case Listing(name, place, source):
                return [{"block": "listing", "name": name, "place": place, "source": source}]
            case Text(text):
                return [{"block": "text", "text": _words(text)}]
            case Tiles(figures):
                told = [[_words(figure), _words(meaning)] for figure, meaning in figures]
                return [{"block": "tiles", "figures": told}]
            case Drawing(title, svg):
                return self._picture(title, svg, "")
            case Figure(panel):
                return self._panel(panel)
            case Folded():
                return []
            case _:
                raise TypeError(f"{type(block).__name__} is no block; see tasks/report/blocks.py")

    def _panel(self, panel: Panel) -> list[dict[str, Any]]:
        if isinstance(panel, Table):
            return [_table(panel)]
        if isinstance(panel, Samples):
            return [_samples(panel)] if panel.items else []
        return self._picture(panel.title, drawing(panel), panel.note)

    def _picture(self, title: str, svg: str, note: str) -> list[dict[str, Any]]:
        if not svg:
            return []
        self._drawn += 1
        file = f"{self._drawn}.svg"
        head = '<svg xmlns="http://www.w3.org/2000/svg" color="#1d2129" font-family='
        drawn = svg.replace("<svg ", f'{head}"Libertinus Serif" ', 1)
        drawn = drawn.replace(">", f">{_STYLE}", 1)
        (self.folder / file).write_text(drawn, encoding="utf-8")
        return [
            {
                "block": "picture",
                "title": _words(title),
                "file": file,
                "width": _width(svg),
                "note": _words(note),
            }
        ]
