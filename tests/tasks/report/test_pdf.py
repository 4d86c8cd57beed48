"""The guide on paper: hostile text stays text, equal guides are equal files, formulas are set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llm.tokens.hostile_texts import hostile_texts
from tasks.panels.panels import Curve, Flow, Graph, Histogram, Sample, Samples, Stream, Table
from tasks.report import prose
from tasks.report.blocks import (
    Block,
    Display,
    Drawing,
    Figure,
    Folded,
    Guide,
    Heading,
    Listing,
    Part,
    Text,
    Tiles,
    plain,
)
from tasks.report.formulas import Formula
from tasks.report.pdf import NoTypesetterError, pdf, write_sources

typst = pytest.importorskip("typst")

MARKUP = (
    '#panic("run") *bold* _it_ `raw` $x$ = Heading\n@label <anchor> \\ // #include "/etc/passwd"'
)
PANELS = [
    Table(MARKUP, [MARKUP, "n"], [[MARKUP, 1], [None, 2.5]], MARKUP),
    Samples(MARKUP, [Sample(MARKUP, MARKUP + "x" * 900, {MARKUP: MARKUP})], MARKUP),
    Curve(MARKUP, MARKUP, "y", {MARKUP: [(0, 1.0), (1, 2.0)]}),
    Histogram(MARKUP, "x", [0, 1, 2], {MARKUP: [1, 2]}),
    Graph(MARKUP, {"a": MARKUP, "b": "b"}, [("a", "b", MARKUP)]),
    Flow(MARKUP, "rows", [Stream("a", "b", 3, "kept", MARKUP)]),
    Table("", [], []),
    Samples("none", []),
]


def _guide(blocks: list[Block], title: str = "Title") -> Guide:
    return Guide(title, title, [Part("one", title, blocks), Part("two", "Second", [])])


def _everything() -> Guide:
    blocks: list[Block] = [
        plain(MARKUP),
        plain(MARKUP, "bad"),
        Heading(MARKUP),
        Tiles([("1", MARKUP)]),
        Listing("a.b", "a/b.py:1", f'print("""{MARKUP}""")'),
        Text(MARKUP),
        Display(Formula(r"\frac{1}{2}", True)),
        Drawing(MARKUP, '<svg viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'),
        Folded("Config", [plain("on a screen alone")]),
        *(Figure(panel) for panel in PANELS),
    ]
    return _guide(blocks, MARKUP)


def _told(guide: Guide, folder: Path, element: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        typst.query(write_sources(guide, folder), element, root=folder)
    )
    return found


def test_hostile_text_is_text_in_every_place(tmp_path: Path) -> None:
    headings = _told(_everything(), tmp_path, "heading")
    bodies = [json.dumps(heading["body"]) for heading in headings]
    assert sum(json.dumps(MARKUP)[1:-1] in body for body in bodies) == 2
    assert len(headings) == 4, "the contents' own, both parts, one inside: none out of the text"
    assert "on a screen alone" not in (tmp_path / "guide.json").read_text()
    made = pdf(_everything())
    assert made.startswith(b"%PDF-")


def test_texts_that_break_others_are_set() -> None:
    texts = hostile_texts(["<|endoftext|>"])[::8]
    made = pdf(_guide([block for text in texts for block in (plain(text), Text(text))]))
    assert made.startswith(b"%PDF-")


def test_equal_guides_are_equal_files_with_pages_and_links() -> None:
    first, again = pdf(_everything()), pdf(_everything())
    assert first == again
    assert len(re.findall(rb"/Type\s*/Page\b", first)) >= 3
    assert b"/Link" in first
    assert b"/FontFile" in first
    assert b"CreationDate" not in first


def test_every_formula_of_the_chapters_is_set(tmp_path: Path) -> None:
    parts = [prose.part_of(chapter, {}) for chapter in prose.CHAPTERS]
    made = [block for part in parts for block in part.blocks if isinstance(block, Display)]
    guide = _guide([*made])
    shown = [e for e in _told(guide, tmp_path, "math.equation") if e["block"]]
    assert len(shown) == len(made) > 20
    assert [element["alt"] for element in shown] == [block.formula.tex for block in made]
    assert json.dumps(shown).count('"func": "frac"') == sum(
        block.formula.tex.count(r"\frac") for block in made
    )


def test_long_tables_and_texts_end_with_what_is_left(tmp_path: Path) -> None:
    rows = [[str(number)] for number in range(100)]
    long = Samples("s", [Sample("h", "word " * 400, {})])
    write_sources(_guide([Figure(Table("t", ["n"], rows)), Figure(long)]), tmp_path)
    table, samples = json.loads((tmp_path / "guide.json").read_text())["parts"][0]["blocks"]
    assert len(table["rows"]) == 25
    assert table["left"] == "75 more rows are in the report that opens in a browser."
    assert (
        samples["items"][0]["cut"]
        == "1,500 more characters are in the report that opens in a browser."
    )


def test_without_the_typesetter_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    with pytest.raises(NoTypesetterError, match=r"ingot\[pdf\]"):
        pdf(_guide([]))
