"""What a stage shows of its result, independent of where it is shown.

A stage returns panels, which are kept with the artifact (`stored.py`); `flows/publish.py` renders
them as Prefect artifacts and the `report` stage as HTML. A panel holds plain values only, capped in
size by whoever makes it (a table of 200 rows is a lot).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Numbers stay numbers; the renderer formats them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """One or more named series of (x, y) points over a common pair of axes."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """Counts between edges: `len(edges) == len(counts) + 1` for every named series."""

    title: str
    x_label: str
    edges: Sequence[float]
    counts: Mapping[str, Sequence[float]]
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """One text with a heading and what is known about it."""

    heading: str
    text: str
    facts: Mapping[str, Cell]


@dataclass(frozen=True)
class Samples:
    """Texts to read: removed documents, generations, pairs."""

    title: str
    items: Sequence[Sample]
    note: str = ""


@dataclass(frozen=True)
class Graph:
    """A directed graph: node id -> label, and (from, to, label) edges."""

    title: str
    nodes: Mapping[str, str]
    edges: Sequence[tuple[str, str, str]]
    note: str = ""


@dataclass(frozen=True)
class Stream:
    """So much of something on its way from one place to the next, and what is said of that.

    Attributes:
        kind: streams of one kind are drawn alike.
        words: lines beside the place it ends at.
    """

    source: str
    target: str
    count: float
    kind: str
    words: str = ""


@dataclass(frozen=True)
class Flow:
    """What flows through steps, and where it leaves them."""

    title: str
    unit: str
    streams: Sequence[Stream]
    note: str = ""


Panel = Table | Curve | Histogram | Samples | Graph | Flow


@dataclass(frozen=True)
class StageView:
    """All that is shown of one artifact.

    Attributes:
        description: what its stage does, in a sentence.
        config: its fields, with values, defaults and what they mean.
    """

    description: str
    config: Table
    panels: Sequence[Panel]
