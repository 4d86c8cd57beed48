"""Chapters of the guide: Markdown beside this file, read into blocks.

Headings of the first level are the chapter's title, of the second those inside it. Formulas are
written as GitHub shows them, in a fence named `math` or as $`…`$ inside a line. A fence `stages`
names those a chapter is about. Others name what is put in their place, a line each:

    code      MODULE:FUNCTION, its source
    figures   STAGE: title of a panel of that stage
    settings  STAGE: fields of its config, with the values of this run

What a run has no stage or panel for is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from llm.errors import ExpectedError
from tasks.panels.panels import Cell, StageView, Table
from tasks.report.blocks import Block, Bullets, Display, Figure, Heading, Paragraph, Part, Run
from tasks.report.formulas import Formula
from tasks.report.listings import listing

if TYPE_CHECKING:
    from markdown_it.token import Token


class ChapterError(ExpectedError, ValueError):
    """A chapter has what cannot be shown; names it."""


# In the order in which they are read; names of files, and of anchors.
CHAPTERS = (
    "language-model",
    "pages",
    "quality",
    "duplicates",
    "tokens",
    "attention",
    "block",
    "first-weights",
    "loss",
    "optimiser",
    "generation",
    "instructions",
    "preferences",
    "rewards",
    "measuring",
)


def text_of(chapter: str) -> str:
    """The Markdown of a chapter."""
    folder = files("tasks.report").joinpath("chapters")
    return folder.joinpath(f"{chapter}.md").read_text(encoding="utf-8")


def stages_of(chapter: str) -> list[str]:
    """What it is about: a run that has none of these stages needs no such chapter."""
    return [name for line in _fences(chapter, "stages") for name in line.split(", ")]


def part_of(chapter: str, views: Mapping[str, StageView]) -> Part:
    """A chapter with the code of the project, and what the stages of a run show.

    Args:
        views: by stage.

    Raises:
        ChapterError: Markdown that a chapter cannot have.
        UnknownCodeError: it names code that the project does not have.
        FormulaError: a formula that is not understood.
    """
    title, blocks = read(text_of(chapter), views)
    return Part(chapter, title, blocks)


def read(markdown: str, views: Mapping[str, StageView]) -> tuple[str, list[Block]]:
    """Title and blocks of a text. Raises what `part_of` raises."""
    from markdown_it import MarkdownIt  # not before: few commands draw a report

    title, blocks = "", list[Block]()
    tokens = iter(MarkdownIt("commonmark").parse(markdown))
    for token in tokens:
        if token.type == "heading_open":
            text = next(tokens).content
            next(tokens)
            if token.tag == "h1":
                title = text
            else:
                blocks.append(Heading(text))
        elif token.type == "paragraph_open":
            blocks.append(Paragraph(_runs(next(tokens))))
            next(tokens)
        elif token.type == "bullet_list_open":
            blocks.append(_bullets(tokens))
        elif token.type == "fence":
            blocks += _put(token.info.strip(), token.content.strip().splitlines(), views)
        else:
            raise ChapterError(f"a chapter holds no {token.type}: {token.content[:80]!r}")
    return title, blocks


def _bullets(tokens: object) -> Bullets:
    items = []
    for token in tokens:  # type: ignore[attr-defined]
        if token.type == "inline":
            items.append(_runs(token))
        elif token.type == "bullet_list_close":
            break
    return Bullets(items)


def _runs(line: Token) -> list[Run]:
    """The runs of a line. A formula is code between two dollar signs."""
    runs: list[Run] = []
    kind = ""
    for token in line.children or []:
        if token.type == "code_inline":
            before = runs[-1] if runs else None
            if before is not None and before.text.endswith("$") and before.kind == "text":
                runs[-1] = Run("text", before.text[:-1])
                runs.append(Run("formula", token.content, Formula(token.content, False)))
            else:
                runs.append(Run("code", token.content))
        elif token.type in ("em_open", "strong_open"):
            kind = token.type
        elif token.type in ("em_close", "strong_close"):
            kind = ""
        elif token.type in ("text", "softbreak"):
            text = token.content if token.type == "text" else " "
            if runs and runs[-1].kind == "formula" and text.startswith("$"):
                text = text[1:]
            if kind == "em_open":
                runs.append(Run("emphasis", text))
            elif kind == "strong_open":
                runs.append(Run("strong", text))
            elif text:
                runs.append(Run("text", text))
        else:
            raise ChapterError(f"a line of a chapter holds no {token.type}: {line.content[:80]!r}")
    return [run for run in runs if run.text]


def _put(kind: str, lines: Sequence[str], views: Mapping[str, StageView]) -> list[Block]:
    """What stands for a fence."""
    if kind == "stages":
        return []
    if kind == "math":
        return [Display(Formula(" ".join(lines), True))]
    if kind == "code":
        return [listing(line.strip()) for line in lines]
    named = [line.partition(": ")[::2] for line in lines]
    if kind == "figures":
        return [
            Figure(panel)
            for stage, title in named
            for panel in (views[stage].panels if stage in views else ())
            if panel.title == title
        ]
    if kind == "settings":
        return _settings([(stage, fields.split(", ")) for stage, fields in named], views)
    raise ChapterError(f"a chapter has no fence of the kind {kind!r}")


def _settings(
    named: Sequence[tuple[str, Sequence[str]]], views: Mapping[str, StageView]
) -> list[Block]:
    rows: list[list[Cell]] = []
    for stage, fields in named:
        known = {row[0]: row for row in views[stage].config.rows} if stage in views else {}
        rows += [[stage, *known[name][:2], known[name][3]] for name in fields if name in known]
    if not rows:
        return []
    return [Figure(Table("Set in this run", ["stage", "setting", "value", "what it is"], rows))]


def shown_panels() -> set[tuple[str, str]]:
    """(stage, title) of every panel a chapter shows."""
    lines = [line for chapter in CHAPTERS for line in _fences(chapter, "figures")]
    return {(stage, title) for stage, _, title in (line.partition(": ") for line in lines)}


def _fences(chapter: str, kind: str) -> list[str]:
    """Lines of the fences of a kind."""
    from markdown_it import MarkdownIt

    return [
        line
        for token in MarkdownIt("commonmark").parse(text_of(chapter))
        if token.type == "fence" and token.info.strip() == kind
        for line in token.content.strip().splitlines()
    ]
