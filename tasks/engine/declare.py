"""What a stage declares of its inputs and outputs, of others, and the law its rows obey."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

# What the input is called by which a held stage goes on from its own last artifact (`Input.held`).
HELD = "held"


@dataclass(frozen=True)
class Output:
    """A named output.

    Attributes:
        schema: columns the table has, in order; `None` for a folder of files (a model).
        unique_ids: the table has a `doc_id` column in which no value repeats (checked).
        optional: it may stay empty, and the artifact then lacks it. An output that comes with a
            later version of a stage is one, so that nobody's artifacts become stale.
    """

    description: str
    schema: pa.Schema | None = None
    unique_ids: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Input:
    """A named input: the first of `sources` ("stage.output") whose stage the recipe has. Without
    sources it is an artifact that the config names (`Stage.named`).

    Attributes:
        optional: the stage also runs without it, when the recipe has none of the sources.
        whole: the stage reads the manifest as well, so that its identity covers the producing
            recipe and all its outputs, not the one output alone.
        asked: a field of the stage's config; where it is false, it is as if the recipe had none of
            the sources. An input that comes with a later version is one that a new field asks for,
            so that nobody's artifacts become stale. Empty = always read.
        instead: a field of the stage's config that names what is read in its place; where that is
            set, the input is not read. Empty = there is none.
        one_of: what several optional inputs of a stage are, of which the recipe must have one at
            least; empty = it may lack all of them.
        held: an output of the stage itself: what it learned from the corpus last time. While the
            recipe holds the stage it is read here, as its last artifact has it. Such an input has
            no sources and is optional; empty = it is none.
    """

    sources: tuple[str, ...]
    description: str
    optional: bool = False
    whole: bool = False
    asked: str = ""
    instead: str = ""
    one_of: str = ""
    held: str = ""


@dataclass(frozen=True)
class Conservation:
    """Rows in = kept + removed + rejected, on ids.

    Attributes:
        rows_in: the input whose rows must all be accounted for, or the output, where the stage
            first lists what it goes over; `None` when rows come from outside the store, and the
            shard functions report `RowsIn` themselves.
        kept, removed, rejected: the outputs that account for them.
        ids: compare the doc_ids themselves, not only their number.
    """

    rows_in: str | None
    kept: str
    removed: str | None = None
    rejected: str | None = None
    ids: bool = True


@dataclass(frozen=True)
class Requirement:
    """What must hold between a stage's config and those of others, asked before any stage runs.

    Attributes:
        of: fields of other stages' configs, as "stage.field". It is asked where a recipe has all of
            these stages; one whose name ends in `?` may be missing, and its value is None then.
        problems: given the stage's own config and those values, in that order: what is wrong,
            naming the fields of both, and what would do.
    """

    of: tuple[str, ...]
    problems: Callable[..., Iterator[str]]


class Declared(Protocol):
    """A stage, as far as what it writes goes."""

    @property
    def name(self) -> str:
        """Of the stage."""

    @property
    def version(self) -> int:
        """Of the meaning of what it writes."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        """Its named outputs."""
