"""The declaration of a stage: what it reads, what it writes, how it is configured.

A stage is a value, not a class to inherit from: one module in `tasks/` defines
a config, a `run(config, inputs, out)` function and one `STAGE = Stage(...)`.
Everything else (caching, resuming, planning, forms, deployments, panels) is
derived from that value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.engine.config import StageConfig

if TYPE_CHECKING:
    from tasks.engine.artifact import Artifact, Inputs
    from tasks.engine.output import Out
    from tasks.engine.panels import Panel
    from tasks.engine.snapshot import Snapshot

# The identity of a document, hex xxh3-128: see llm/corpus/identity.py.
DOC_ID = pa.field("doc_id", pa.string(), nullable=False)

REMOVED = pa.schema(
    [
        DOC_ID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("detail", pa.string()),
    ]
)
REJECTED = pa.schema(
    [
        DOC_ID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)


@dataclass(frozen=True)
class Output:
    """A named output.

    Attributes:
        schema: columns the table has, in order; `None` for a folder of files (a model).
        unique_ids: the table has a `doc_id` column in which no value repeats (checked).
    """

    description: str
    schema: pa.Schema | None = None
    unique_ids: bool = False


@dataclass(frozen=True)
class Input:
    """A named input: the first of `sources` ("stage.output") whose stage the recipe has.

    Attributes:
        optional: the stage also runs without it, when the recipe has none of the sources.
        whole: the stage reads the manifest as well, so that its identity covers the producing
            recipe and all its outputs, not the one output alone.
    """

    sources: tuple[str, ...]
    description: str
    optional: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Conservation:
    """Rows in = kept + removed + rejected, on ids.

    Attributes:
        rows_in: the input whose rows must all be accounted for; `None` when rows come from
            outside the store, and the shard functions report `RowsIn` themselves.
        kept, removed, rejected: the outputs that account for them.
        ids: compare the doc_ids themselves, not only their number.
    """

    rows_in: str | None
    kept: str
    removed: str | None = None
    rejected: str | None = None
    ids: bool = True


def no_externals(config: Any) -> Mapping[str, Snapshot]:
    """The externals of a stage that reads nothing from outside the store."""
    return {}


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes:
        name: its name in recipes, paths, the UI and on the command line.
        version: bumped by hand when the meaning of its output changes.
        config: its config class; defaults, bounds and descriptions live there.
        run: the body; reads through `inputs`, writes through `out`, returns nothing.
        externals: resolves what the config names outside the store to snapshots, at plan time.
        conservation: the law checked before publishing; `None` where the body states its own
            through `out.conserve`.
        reproducible: equal recipe means equal bytes. False for training.
        libraries: distributions whose version shapes the output; drift is shown.
        code: modules the stage reaches beyond its imports (those it launches by name).
        panels: what it shows.
    """

    name: str
    version: int
    description: str
    config: type[StageConfig]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    run: Callable[[Any, Inputs, Out], None]
    panels: Callable[[Artifact], Sequence[Panel]]
    externals: Callable[[Any], Mapping[str, Snapshot]] = no_externals
    conservation: Conservation | None = None
    reproducible: bool = True
    libraries: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
