"""The guide as one HTML file: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from functools import singledispatch
from importlib.resources import files

from markupsafe import Markup

from tasks.panels.html import html, table
from tasks.panels.panels import Table
from tasks.panels.templates import Template
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
    Run,
    Text,
    Tiles,
)


@singledispatch
def _html(block: Block) -> Markup:
    raise TypeError(f"{type(block).__name__} is no block; see tasks/report/blocks.py")


def _formula(run: Run) -> Markup:
    assert run.formula is not None
    return Markup(run.formula.mathml)


_draw = Template("tasks.report", "page.jinja", show=_html, formula=_formula)


def page(guide: Guide) -> str:
    """The whole file."""
    style = files("tasks.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"{_draw('document', guide=guide, style=Markup(style))}\n"


@_html.register
def _paragraph(block: Paragraph) -> Markup:
    return _draw("paragraph", runs=block.runs, tone=block.tone)


@_html.register
def _bullets(block: Bullets) -> Markup:
    return _draw("bullets", items=block.items)


@_html.register
def _heading(block: Heading) -> Markup:
    return _draw("heading", text=block.text)


@_html.register
def _display(block: Display) -> Markup:
    return _draw("display", drawn=Markup(block.formula.mathml), tex=block.formula.tex)


@_html.register
def _listing(block: Listing) -> Markup:
    return _draw("listing", name=block.name, place=block.place, source=_coloured(block.source))


def _coloured(source: str) -> Markup:
    """Python with a class on what has a colour; colours are in `page.css`."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return Markup(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))


@_html.register
def _text(block: Text) -> Markup:
    return _draw("text", text=block.text)


@_html.register
def _figure(block: Figure) -> Markup:
    if isinstance(block.panel, Table) and not block.panel.title:
        return Markup(table(block.panel.columns, block.panel.rows))
    return Markup(html(block.panel))


@_html.register
def _drawing(block: Drawing) -> Markup:
    return _draw("drawing", title=block.title, drawn=Markup(block.svg))


@_html.register
def _tiles(block: Tiles) -> Markup:
    return _draw("tiles", figures=block.figures)


@_html.register
def _folded(block: Folded) -> Markup:
    return _draw("folded", title=block.title, blocks=block.blocks)
