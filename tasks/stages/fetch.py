"""`fetch`: files of other places become a snapshot in the store: a list first, then its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from llm.corpus.fetch.entries import (
    FETCHED,
    LISTED,
    Entry,
    Fetched,
    Place,
    fetched_row,
    listed_rows,
)
from llm.corpus.fetch.folder import Known
from llm.corpus.fetch.open import list_place, reader
from llm.corpus.fetch.write import write_entries
from llm.tables import REJECTED
from tasks.engine.config import Part, ShardedConfig, execution
from tasks.engine.declare import Conservation, Output
from tasks.engine.errors import ExternalInputError, IngotError
from tasks.engine.identity.canonical import sha256_json
from tasks.engine.identity.snapshot import Item, Snapshot, snapshot_files
from tasks.engine.shards.unit import Emitted, Fact, NewFile, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Panel, Table

_ROWS = 2_000  # of a table handed to the engine
_SHOWN = 200


class NothingFetchedError(IngotError):
    """No place gave a single file; says why."""


class PlaceSpec(Part):
    """One named place."""

    name: str = Field(
        description="Name of the place; a source names it as `fetched`.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=64,
    )
    kind: Literal["folder"] = Field("folder", description="What the place is.")
    paths: list[str] = execution(
        [], "folder: files, folders and globs (`**` too), relative to the root."
    )


class FetchConfig(ShardedConfig):
    """What to fetch."""

    places: list[PlaceSpec] = Field([], description="The places, each under a name of its own.")

    @model_validator(mode="after")
    def _distinct(self) -> FetchConfig:
        counts = Counter(place.name for place in self.places)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"places need names of their own; given twice: {', '.join(twice)}")
        return self

    @property
    def names(self) -> list[str]:
        """Of the places, in their order."""
        return [place.name for place in self.places]


def externals(config: FetchConfig) -> Mapping[str, Snapshot]:
    """One snapshot, "files", of what the folders hold: `<place>/<relative name>`. Places that need
    a network are not asked: the stage itself does that.

    Raises:
        ExternalInputError: no place is named, or a folder has no file.
    """
    if not config.places:
        raise ExternalInputError("fetch.places is empty; name at least one place in the recipe")
    items: list[Item] = []
    for place in config.places:
        field = f"fetch.places[{place.name}].paths"
        if not place.paths:
            raise ExternalInputError(f"{field} is empty; name a file, a folder or a glob")
        items += snapshot_files(place.paths, field, prefix=f"{place.name}/").items
    return {"files": Snapshot(tuple(sorted(items, key=lambda item: item.name)))}


def list_entries(
    unit: Unit, place: Mapping[str, str], known: Sequence[Mapping[str, Any]]
) -> Iterator[Emitted]:
    """What one place has.

    Args:
        place: fields of the `Place`.
        known: of a folder, fields of each file that was found when the run was planned.
    """
    of = Place(**place)
    rows = listed_rows(of.name, list_place(of, [Known(**file) for file in known]))
    for start in range(0, len(rows), _ROWS):
        yield "listed", pa.Table.from_pylist(rows[start : start + _ROWS], schema=LISTED)
    yield Fact(f"listed:{of.name}", len(rows))


def fetch_file(
    unit: Unit, place: Mapping[str, str], entries: Sequence[Mapping[str, Any]]
) -> Iterator[Emitted]:
    """One file of the snapshot, and what became of each entry that goes into it.

    Args:
        entries: fields of each `Entry`, in order.
    """
    of, listed = Place(**place), [Entry(**entry) for entry in entries]
    target = unit.scratch / "file"
    fetched, rejected = [], []
    for outcome in write_entries(reader(of, unit.path), listed, target):
        if isinstance(outcome, Fetched):
            fetched.append(fetched_row(of.name, outcome))
            continue
        detail = f"{of.name}: {outcome.entry.location}: {outcome.detail}"
        identity = outcome.entry.identity(of.name)
        rejected.append({"doc_id": identity, "reason": outcome.reason, "detail": detail})
    if fetched:
        yield "fetched", pa.Table.from_pylist(fetched, schema=FETCHED)
        yield NewFile("files", f"{of.name}/{listed[0].file}", target)
        yield Fact(f"fetched:{of.name}", len(fetched))
        yield Fact(f"bytes:{of.name}", sum(row["bytes"] for row in fetched))
    if rejected:
        yield "rejected", pa.Table.from_pylist(rejected, schema=REJECTED)
        yield Fact(f"rejected:{of.name}", len(rejected))


def run(config: FetchConfig, inputs: Inputs, out: Out) -> None:
    """List every place, then fetch: a shard a file, so that what is there is not fetched again.

    Raises:
        NothingFetchedError: not one entry could be had.
    """
    known = {item.name: item for item in inputs.external["files"].items}
    places = {spec.name: asdict(Place(spec.name, spec.kind)) for spec in config.places}
    files: dict[str, list[dict[str, Any]]] = {name: [] for name in places}
    for item in known.values():
        place, _, name = item.name.partition("/")
        files[place].append({"name": name, "size": item.size, "sha256": item.sha256})
    out.map(
        list_entries,
        over=[Item(name, 0, sha256_json(place), "") for name, place in places.items()],
        each={name: {"place": place, "known": files[name]} for name, place in places.items()},
        checked=False,
    )
    entries = _by_file(out)
    out.map(
        fetch_file,
        over=[
            Item(name, 0, sha256_json(listed), known[name].path if name in known else "")
            for name, listed in entries.items()
        ],
        each={
            name: {"place": places[name.partition("/")[0]], "entries": listed}
            for name, listed in entries.items()
        },
        checked=False,  # against the list, an entry at a time: one that changed is rejected
        again="rejected",  # what could not be had then may be there now
    )
    if not out.data("fetched").rows:
        raise NothingFetchedError(_why_nothing(out, sorted(places)))


def _by_file(out: Out) -> dict[str, list[dict[str, Any]]]:
    """Fields of the listed entries by the file that they go into, `<place>/<file>`."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in out.data("listed").tables():
        for row in table.drop_columns(["doc_id"]).to_pylist():
            name = f"{row.pop('place')}/{row['file']}"
            found.setdefault(name, []).append(row)
    return found


def _why_nothing(out: Out, places: Sequence[str]) -> str:
    table = out.data("rejected").table(["reason", "detail"])
    counts = Counter(table.column("reason").to_pylist())
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    example = f"such as {table.column('detail')[0].as_py()}" if table.num_rows else ""
    return (
        f"fetch: nothing could be fetched from {', '.join(places)} (fetch.places): "
        f"{reasons or 'nothing is listed'} {example}".rstrip()
    )


def panels(artifact: Artifact) -> list[Panel]:
    """What each place gave, and what could not be had."""
    facts = artifact.facts
    places = sorted(name.partition(":")[2] for name in facts if name.startswith("listed:"))
    columns = ("listed", "fetched", "rejected", "bytes")
    refused = artifact.data("rejected").table(["reason", "detail"])
    shown = refused.slice(0, _SHOWN).to_pylist()
    return [
        Table(
            "Places",
            ("place", *columns),
            [(place, *(facts.get(f"{c}:{place}", 0) for c in columns)) for place in places],
            note="listed, fetched, rejected: entries; several may go into one file",
        ),
        Table(
            "Not fetched",
            ("reason", "entry"),
            [(row["reason"], row["detail"]) for row in shown],
            note=f"The first {_SHOWN} of {refused.num_rows:,}."
            if refused.num_rows > _SHOWN
            else "",
        ),
    ]


STAGE = Stage(
    name="fetch",
    version=1,
    description="Files of other places, as an immutable snapshot that sources read.",
    config=FetchConfig,
    inputs={},
    outputs={
        "files": Output("The snapshot: one folder per place."),
        "listed": Output("What each place has, one row per entry.", LISTED, unique_ids=True),
        "fetched": Output("Entries whose bytes are in the snapshot.", FETCHED, unique_ids=True),
        "rejected": Output("Entries that could not be fetched, and why.", REJECTED),
    },
    run=run,
    panels=panels,
    externals=externals,
    conservation=Conservation("listed", kept="fetched", rejected="rejected"),
)
