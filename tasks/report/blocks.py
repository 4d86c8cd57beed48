"""The guide as a document, before it is HTML or PDF: parts made of blocks.

Everything in it is plain text and numbers. Whoever renders it makes text harmless for its format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.panels.panels import Panel
from tasks.report.formulas import Formula

RunKind = Literal["text", "code", "emphasis", "strong", "formula"]
Tone = Literal["", "note", "good", "bad", "lead"]


@dataclass(frozen=True)
class Run:
    """Text of one kind inside a line; of a formula its TeX."""

    kind: RunKind
    text: str
    formula: Formula | None = None


@dataclass(frozen=True)
class Paragraph:
    """Running text. Its tone says how it is set: a note smaller, good and bad in their colour."""

    runs: Sequence[Run]
    tone: Tone = ""


@dataclass(frozen=True)
class Bullets:
    """A list; each item is a line of runs."""

    items: Sequence[Sequence[Run]]


@dataclass(frozen=True)
class Heading:
    """A heading inside a part."""

    text: str


@dataclass(frozen=True)
class Display:
    """A formula on a line of its own."""

    formula: Formula


@dataclass(frozen=True)
class Listing:
    """Code of the project.

    Attributes:
        name: what it is, as it is imported.
        place: its file and line, for whoever looks it up.
    """

    name: str
    place: str
    source: str


@dataclass(frozen=True)
class Text:
    """Text set as it is, such as a recipe."""

    text: str


@dataclass(frozen=True)
class Figure:
    """A panel."""

    panel: Panel


@dataclass(frozen=True)
class Drawing:
    """An inline SVG that is no panel, with a title."""

    title: str
    svg: str


@dataclass(frozen=True)
class Tiles:
    """Figures, each with what it counts."""

    figures: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Folded:
    """What a page shows when it is asked to, and paper leaves out."""

    title: str
    blocks: Sequence[Block]


Block = Paragraph | Bullets | Heading | Display | Listing | Text | Figure | Drawing | Tiles | Folded


@dataclass(frozen=True)
class Part:
    """A section with those below it.

    Attributes:
        anchor: its name in links; one alone has it.
        on_paper: whether the PDF has it too.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    below: Sequence[Part] = ()
    on_paper: bool = True

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show of it."""
        return not self.blocks and not self.below


@dataclass(frozen=True)
class Guide:
    """The whole document."""

    title: str
    lead: str
    parts: Sequence[Part]


def plain(text: str, tone: Tone = "") -> Paragraph:
    """A paragraph of text as it is."""
    return Paragraph([Run("text", text)], tone)
