"""`fetch`: files of other places become a snapshot in the store: a list first, then its files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.fetch.entries import (
    FETCHED,
    LISTED,
    Entry,
    Fetched,
    NotFetchedError,
    Place,
    Refused,
    fetched_row,
    listed_rows,
)
from llm.corpus.fetch.places.open import Means, list_place, reader, shape_file
from llm.corpus.fetch.write import write_entries
from llm.errors import ExpectedError
from llm.sha256 import sha256_file
from llm.tables import REJECTED
from tasks.engine.declare import Conservation, Output
from tasks.engine.errors import ExternalInputError, IngotError
from tasks.engine.identity.canonical import sha256_json
from tasks.engine.identity.snapshot import Item, Snapshot, snapshot_files
from tasks.engine.shards.unit import Emitted, Fact, NewFile, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Panel, Table
from tasks.stages.fetch_config import FetchConfig
from tasks.stages.fetch_places import CommonCrawlSpec, FilesSpec, HubSpec
from tasks.stages.fetch_sites import crawl_sites

_ROWS = 2_000  # of a table handed to the engine
_SHOWN = 200
# Reasons for which an entry is rejected that say nothing of the entry.
_NO_ANSWER = frozenset({"busy", "timeout", "no_connection", "cut_off"})


class NothingFetchedError(IngotError):
    """No place gave a single file; says why."""


class UnansweredError(IngotError):
    """A place lists entries that it does not give; names it, and how many."""


class PlaceNotListedError(IngotError):
    """A place does not say what it has; says why, and what to change."""


def externals(config: FetchConfig) -> Mapping[str, Snapshot]:
    """One snapshot, "files", of what the folders hold: `<place>/<relative name>`. Places that need
    a network are not asked: the stage itself does that.

    Raises:
        ExternalInputError: no place is named, or a folder has no file.
    """
    if not config.names:
        raise ExternalInputError(
            "fetch.places is empty, and so are the lists of other kinds of places (fetch.files); "
            "name at least one place in the recipe"
        )
    parts: list[Snapshot] = []
    for place in config.places:
        field = f"fetch.places[{place.name}].paths"
        if not place.paths:
            raise ExternalInputError(f"{field} is empty; name a file, a folder or a glob")
        parts.append(snapshot_files(place.paths, field, prefix=f"{place.name}/"))
    return {"files": Snapshot.joined(parts)}


def foretells(
    config: FetchConfig, inputs: Sequence[str], external: Mapping[str, Snapshot]
) -> Sequence[str]:
    """What of a network will be asked for what."""
    return [f"asks the network for {spec.name}: {spec.told()}" for spec in config.remote]


def list_entries(
    unit: Unit, place: Mapping[str, str], asks: Mapping[str, Any]
) -> Iterator[Emitted]:
    """What one place has.

    Args:
        place: fields of the `Place`.
        asks: of `list_place`.

    Raises:
        PlaceNotListedError
    """
    of = Place(**place)
    try:
        rows = listed_rows(of.name, list_place(of, asks, _means(of, unit)))
    except ExpectedError as error:
        raise PlaceNotListedError(f"fetch: {of.name}: {error}") from error
    for start in range(0, len(rows), _ROWS):
        yield "listed", pa.Table.from_pylist(rows[start : start + _ROWS], schema=LISTED)
    yield Fact(f"listed:{of.name}", len(rows))


def fetch_file(
    unit: Unit,
    place: Mapping[str, str],
    asks: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
) -> Iterator[Emitted]:
    """One file of the snapshot, and what became of each entry that goes into it.

    Args:
        asks: of `reader`.
        entries: fields of each `Entry`, in order.
    """
    of, listed = Place(**place), [Entry(**entry) for entry in entries]
    target = unit.scratch / "file"
    fetched, rejected = [], []
    read = reader(of, asks, _means(of, unit), unit.path)
    written = list(write_entries(read, listed, target))
    for outcome in (_shaped(outcome, of, asks, target) for outcome in written):
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


def _shaped(
    outcome: Fetched | Refused, place: Place, asks: Mapping[str, Any], path: Path
) -> Fetched | Refused:
    """An outcome after the rows that are asked for were taken out of its file: of a place where an
    entry is a file."""
    if isinstance(outcome, Refused):
        return outcome
    try:
        if shape_file(place, asks, outcome.entry, path) is None:
            return outcome
    except NotFetchedError as error:
        return Refused(outcome.entry, error.reason, error.detail)
    digest = f"sha256:{sha256_file(path)}"
    return replace(outcome, bytes=path.stat().st_size, digest=digest)


def _means(place: Place, unit: Unit) -> Means | None:
    """How a place is asked, which the unit of one that is no folder has in a file."""
    if place.kind == "folder":
        return None
    return Means(**json.loads(unit.path.read_text())[place.name])


def run(config: FetchConfig, inputs: Inputs, out: Out) -> None:
    """List every place, then fetch: a shard a file, so that what is there is not fetched again.

    A forced attempt lists again, and adopts the files of which the place says that they are what
    they were.

    Raises:
        NothingFetchedError: not one entry could be had.
    """
    known = {item.name: item for item in inputs.external["files"].items}
    lists: dict[str, Mapping[str, Any]] = {spec.name: {"known": []} for spec in config.places}
    for item in known.values():
        name, _, file = item.name.partition("/")
        lists[name]["known"].append({"name": file, "size": item.size, "sha256": item.sha256})
    places = {spec.name: asdict(Place(spec.name, spec.kind)) for spec in config.places}
    places |= {spec.name: asdict(spec.place) for spec in config.remote}
    lists |= {spec.name: spec.lists() for spec in config.remote}
    reads: dict[str, Mapping[str, Any]] = {spec.name: spec.reads() for spec in config.remote}
    crawled = crawl_sites(config, out)
    means = str(_write_means(config, out.scratch, crawled, {}))
    out.map(
        list_entries,
        over=[Item(name, 0, sha256_json(place), means) for name, place in places.items()],
        each={name: {"place": place, "asks": lists[name]} for name, place in places.items()},
        checked=False,
    )
    told, untold, revisions = _by_file(out)
    _write_means(config, out.scratch, crawled, revisions)
    for place, revision in revisions.items():
        out.fact(f"revision:{place}", revision)
    for files, steady in ((told, True), (untold, False)):
        out.map(
            fetch_file,
            over=[
                Item(name, 0, sha256_json(listed), known[name].path if name in known else means)
                for name, listed in files.items()
            ],
            each={
                name: {
                    "place": places[place := name.partition("/")[0]],
                    "asks": reads.get(place, {}),
                    "entries": listed,
                }
                for name, listed in files.items()
            },
            checked=False,  # against the list, an entry at a time: one that changed is rejected
            again="rejected",  # what could not be had then may be there now
            adopt_forced=steady,
        )
    if not out.data("fetched").rows:
        raise NothingFetchedError(_why_nothing(out, sorted(places)))
    _require_answers(config.unanswered_share, out)


def _write_means(
    config: FetchConfig, scratch: Path, crawled: Mapping[str, Path], revisions: Mapping[str, str]
) -> Path:
    """A file of how each place is asked: no part of what a shard is known by.

    Args:
        crawled: folder of each site.
        revisions: of places that have one, once they are listed.
    """
    means = {
        spec.name: Means(
            scratch=str(scratch / "partial" / spec.name),
            manners=config.manners,
            anonymous=isinstance(spec, FilesSpec) and spec.anonymous,
            servers=spec.servers if isinstance(spec, (CommonCrawlSpec, HubSpec)) else {},
            folder=str(crawled.get(spec.name, "")),
            revision=revisions.get(spec.name, ""),
        )
        for spec in config.remote
    }
    path = scratch / "means.json"
    path.write_text(json.dumps({name: asdict(one) for name, one in means.items()}))
    return path


_ByFile = dict[str, list[dict[str, Any]]]


def _by_file(out: Out) -> tuple[_ByFile, _ByFile, Mapping[str, str]]:
    """Fields of the listed entries by the file that they go into, `<place>/<file>`: of files of
    whose bytes the list tells, and of the others; and the revision of each place that has one."""
    found: _ByFile = {}
    revisions: dict[str, str] = {}
    for table in out.data("listed").tables():
        for row in table.drop_columns(["doc_id"]).to_pylist():
            place, revision = row.pop("place"), row.pop("revision")
            if revision is not None:
                revisions[place] = revision
            name = f"{place}/{row['file']}"
            found.setdefault(name, []).append(row)
    told = {n for n, rows in found.items() if all(row["digest"] or row["version"] for row in rows)}
    return (
        {name: rows for name, rows in found.items() if name in told},
        {name: rows for name, rows in found.items() if name not in told},
        dict(sorted(revisions.items())),
    )


def _require_answers(share: float, out: Out) -> None:
    """Raises UnansweredError if a place gave no answer for this share of its entries, or more."""
    refused = out.data("rejected").table(["doc_id", "reason"]).to_pylist()
    unanswered = {row["doc_id"]: row["reason"] for row in refused if row["reason"] in _NO_ANSWER}
    listed: Counter[str] = Counter()
    missing: dict[str, Counter[str]] = {}
    for table in out.data("listed").tables(["doc_id", "place"]):
        for row in table.to_pylist():
            listed[row["place"]] += 1
            if row["doc_id"] in unanswered:
                reasons = missing.setdefault(row["place"], Counter())
                reasons[unanswered[row["doc_id"]]] += 1
    for place, reasons in sorted(missing.items()):
        if reasons.total() >= share * listed[place]:
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            raise UnansweredError(
                f"fetch: {place}: {reasons.total()} of {listed[place]} entries got no answer "
                f"({why}), so nothing is published; what came is kept: run again when the place "
                "answers, or raise fetch.unanswered_share"
            )


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
    version=2,
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
    foretells=foretells,
    looks_again=lambda config: bool(config.remote),
)
