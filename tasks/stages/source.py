"""`source`: web archives, tables, files and installed documentation become one table of pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from llm.corpus.identity import doc_id
from llm.corpus.source.open import REPEATING_KINDS, Origin, UnknownKindError, kind_of, read_records
from llm.corpus.source.pages import PAGES, page_row
from llm.corpus.source.records import Page, Record, Rejected, Removed
from llm.corpus.source.repeats import CAPTURES, REPEATS, repeated_captures
from llm.pydocs.distributions import DistributionNotFoundError, find_distribution
from llm.pydocs.reader import read_pinned
from llm.tables import REJECTED, REMOVED
from tasks.engine.config import Part, ShardedConfig, added, execution
from tasks.engine.declare import Conservation, Input, Output, Requirement
from tasks.engine.errors import ExternalInputError, IngotError
from tasks.engine.identity.snapshot import Item, Snapshot, snapshot_files
from tasks.engine.shards.unit import Emitted, Fact, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages.source_panels import panels

Kind = Literal["auto", "warc", "parquet", "jsonl", "html", "text", "pydocs"]
_ROWS, _BYTES = 256, 16 << 20  # of a table handed to the engine
_REASONS_TOLD = 5


class EmptySourceError(IngotError):
    """No source holds a single page; says what there was instead."""


class SourceSpec(Part):
    """One named source: files of one kind, or installed distributions."""

    name: str = Field(
        description="Name of the source; part of every document's identity.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=64,
    )
    kind: Kind = Field("auto", description="Kind of the files; auto goes by their extension.")
    paths: list[str] = execution([], "Files, folders and globs (`**` too), relative to the root.")
    distributions: list[str] = execution(
        [],
        "pydocs: installed Python distributions to document; `python` is the standard library.",
    )
    text_field: str = Field(
        "text", description="Parquet and JSONL: field of the text.", min_length=1
    )
    url_field: str = Field(
        "url", description="Parquet and JSONL: field of the URL, where rows have one."
    )
    id_field: str = Field(
        "id", description="Parquet and JSONL: field that identifies a row without a URL."
    )
    date_field: str = Field(
        "date", description="Parquet and JSONL: field of the date a row was fetched."
    )
    license_field: str = Field(
        "license", description="Parquet and JSONL: field of a row's own licence."
    )
    row_type: Literal["text/plain", "text/html"] = Field(
        "text/plain", description="Parquet and JSONL: what the text is."
    )
    license: str = Field("unknown", description="Licence of records that do not state their own.")
    fetched: str = added(
        "", "A place of the stage `fetch`: its files, instead of `paths`.", max_length=64
    )

    @model_validator(mode="after")
    def _complete(self) -> SourceSpec:
        if self.fetched:
            if self.paths or self.distributions or self.kind == "pydocs":
                raise ValueError(
                    f"source {self.name!r}: with `fetched` it takes neither `paths` nor "
                    "`distributions`, and its kind cannot be pydocs"
                )
        elif self.kind == "pydocs":
            if not self.distributions or self.paths:
                raise ValueError(
                    f"source {self.name!r}: kind pydocs takes `distributions` and no `paths`"
                )
        elif not self.paths or self.distributions:
            raise ValueError(
                f"source {self.name!r}: kind {self.kind} takes `paths` and no `distributions`"
            )
        return self


class SourceConfig(ShardedConfig):
    """What to read."""

    sources: list[SourceSpec] = Field([], description="The sources, each under a name of its own.")
    max_record_bytes: int = Field(
        10_000_000,
        description="Largest page, in bytes when decompressed; a larger record is rejected.",
        ge=1_000,
        le=1_000_000_000,
    )

    @model_validator(mode="after")
    def _distinct(self) -> SourceConfig:
        counts = Counter(spec.name for spec in self.sources)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"sources need names of their own; given twice: {', '.join(twice)}")
        return self

    @property
    def names(self) -> list[str]:
        """Of the sources, in their order."""
        return [spec.name for spec in self.sources]


def _places_exist(config: SourceConfig, places: Sequence[str] | None) -> Iterator[str]:
    for number, spec in enumerate(config.sources):
        if spec.fetched and spec.fetched not in (places or ()):
            named = (
                f"fetch.places has {', '.join(places)}"
                if places
                else "name it in fetch.places, a section of its own in the recipe"
            )
            yield f"source.sources.{number}.fetched: there is no place {spec.fetched!r}; {named}"


def externals(config: SourceConfig) -> Mapping[str, Snapshot]:
    """One snapshot, "files": `<source>/<relative name>` and `<source>/<distribution>==<version>`.

    Raises:
        ExternalInputError: nothing is named, or what is named does not exist.
    """
    if not config.sources:
        raise ExternalInputError("source.sources is empty; name at least one source in the recipe")
    items: list[Item] = []
    for spec in config.sources:
        field = f"source.sources[{spec.name}]"
        if spec.kind == "pydocs":
            items += [_distribution(spec.name, name, field) for name in spec.distributions]
        elif not spec.fetched:
            found = snapshot_files(spec.paths, f"{field}.paths", prefix=f"{spec.name}/")
            items += _of_known_kind(found.items, spec, field)
    return {"files": Snapshot(tuple(sorted(items, key=lambda item: item.name)))}


def _of_known_kind(items: Sequence[Item], spec: SourceSpec, field: str) -> Sequence[Item]:
    """The items, once it is sure that each is of a kind there is a reader for."""
    for item in items:
        try:
            kind_of(item.name, spec.kind)
        except UnknownKindError as error:
            raise ExternalInputError(f"{field}: {error}") from error
    return items


def _origin(spec: SourceSpec) -> dict[str, Any]:
    """What decides how a file of a source is read: not from where."""
    return {name: value for name, value in spec.identity().items() if name != "fetched"}


def _fetched_items(spec: SourceSpec, inputs: Inputs) -> Sequence[Item]:
    """The files of a place that the stage `fetch` has a snapshot of, as items of the source.

    Raises:
        ExternalInputError: there is none, or one is of no known kind.
    """
    field = f"source.sources[{spec.name}]"
    data, folder = inputs.get("fetched"), f"{spec.fetched}/"
    parts = [part for part in data.parts if part.path.startswith(folder)] if data else []
    if data is None or not parts:
        raise ExternalInputError(
            f"{field}.fetched: fetch has no file of the place {spec.fetched!r}; "
            "`ingot removed fetch` shows what was rejected, and why"
        )
    items = [data.item(part, f"{spec.name}/{part.path.removeprefix(folder)}") for part in parts]
    return _of_known_kind(items, spec, field)


def _distribution(source: str, name: str, field: str) -> Item:
    try:
        found = find_distribution(name)
    except DistributionNotFoundError as error:
        raise ExternalInputError(f"{field}.distributions: {error}") from error
    return Item(f"{source}/{name}=={found.version}", found.size, found.digest, str(found.folder))


def _records(path: Path, name: str, origin: Origin, limit: int) -> Iterator[Record]:
    if origin.kind == "pydocs":
        return read_pinned(path, name, limit)
    return read_records(path, name, origin, limit)


def list_captures(unit: Unit, origin: Mapping[str, Any], limit: int) -> Iterator[Emitted]:
    """The doc_id of every page of a file, or of several small ones, without its content."""
    for file in unit.files():
        source, _, name = file.name.partition("/")
        seen: dict[str, Any] = {}
        for record in _records(file.path, name, Origin(**origin), limit):
            if isinstance(record, Page):
                seen.setdefault(doc_id(source, record.url, record.payload), record.fetched_at)
        columns = [list(seen), [file.name] * len(seen), list(seen.values())]
        yield "captures", pa.table(columns, schema=CAPTURES)


def read_unit(
    unit: Unit,
    origin: Mapping[str, Any],
    limit: int,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Emitted]:
    """Pages, removed and rejected records of one file or distribution.

    Args:
        origin: fields of the `Origin` it belongs to, and no other's: a shard is known by what it
            is given.
        elsewhere: captures that another unit keeps, doc_id -> that unit.
    """
    source, _, name = unit.name.partition("/")
    belongs = Origin(**origin)
    rows: dict[str, list[dict[str, Any]]] = {"pages": [], "removed": [], "rejected": []}
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    waiting = 0
    for record in _records(unit.path, name, belongs, limit):
        counts[f"records:{source}"] += 1
        if isinstance(record, Page):
            identity = doc_id(source, record.url, record.payload)
            if identity in seen or identity in elsewhere:
                kept = name if identity in seen else elsewhere[identity].partition("/")[2]
                record = Removed("repeated_capture", record.url, b"", f"{name}: kept from {kept}")
            else:
                seen.add(identity)
                row = page_row(identity, name, belongs, record)
                rows["pages"].append(row)
                counts[f"pages:{source}"] += 1
                counts[f"bytes:{source}"] += len(record.payload)
                counts[f"license:{source}:{row['provenance']['license']}"] += 1
                counts[f"mended:{source}"] += record.mended is not None
                waiting += len(record.payload)
        else:
            identity = doc_id(source, record.url, record.key)
        if isinstance(record, Removed):
            rows["removed"].append(
                {
                    "doc_id": identity,
                    "reason": record.reason,
                    "value": record.value,
                    "threshold": record.threshold,
                    "detail": f"{record.url} ({record.detail})" if record.detail else record.url,
                }
            )
            counts[f"removed:{source}"] += 1
        elif isinstance(record, Rejected):
            rows["rejected"].append(
                {"doc_id": identity, "reason": record.reason, "detail": record.detail}
            )
            counts[f"rejected:{source}"] += 1
        if waiting > _BYTES or max(map(len, rows.values())) >= _ROWS:
            yield from _tables(rows)
            waiting = 0
    yield from _tables(rows)
    yield RowsIn(counts[f"records:{source}"])
    for note, count in sorted(counts.items()):
        if count:
            yield Fact(note, count)


def _tables(rows: dict[str, list[dict[str, Any]]]) -> Iterator[Emitted]:
    for output, schema in (("pages", PAGES), ("removed", REMOVED), ("rejected", REJECTED)):
        if rows[output]:
            yield output, _table(rows[output], schema)
            rows[output] = []


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:  # a lone surrogate out of somebody's JSON
        return pa.Table.from_pylist([_encodable(row) for row in rows], schema=schema)


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _encodable(held) for name, held in value.items()}
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def run(config: SourceConfig, inputs: Inputs, out: Out) -> None:
    """Read every unit; captures that several files hold are kept once.

    Raises:
        EmptySourceError: there is no page in all the sources.
        ExternalInputError: a place that a source names was not fetched.
    """
    items = list(inputs.external["files"].items)
    for spec in config.sources:
        if spec.fetched:
            items += _fetched_items(spec, inputs)
    items.sort(key=lambda item: item.name)
    sources = {spec.name: _origin(spec) for spec in config.sources}
    limit = {"limit": config.max_record_bytes}
    many = [item for item in items if _may_repeat(item, sources)]
    elsewhere: dict[str, dict[str, str]] = {}
    if len(many) > 1:
        for name, origin in sources.items():
            own = [item for item in many if _source_of(item) == name]
            if own:
                out.map(list_captures, own, {"origin": origin, **limit}, gather=True)
        repeats = repeated_captures(out.data("captures").table())
        with out.table("repeats") as table:
            table.write(repeats)
        for row in repeats.to_pylist():
            elsewhere.setdefault(row["unit"], {})[row["doc_id"]] = row["kept_unit"]
    # Each file is told of its own repeats: those of a new file leave all others as they are.
    each = {
        item.name: {"origin": sources[_source_of(item)]}
        | ({"elsewhere": elsewhere[item.name]} if item.name in elsewhere else {})
        for item in items
    }
    out.map(read_unit, over=items, arguments=limit, each=each)
    if not out.data("pages").rows:
        raise EmptySourceError(_no_page(out, len(items), sorted(sources)))


def _no_page(out: Out, files: int, sources: Sequence[str]) -> str:
    """Nothing will be published, so the message says why records were left out."""
    where = f"{files} file(s) of {', '.join(sources)} (source.sources)"
    found: list[str] = []
    for fate in ("removed", "rejected"):
        table = out.data(fate).table(["reason", "detail"])
        examples = dict(
            zip(table.column("reason").to_pylist(), table.column("detail").to_pylist(), strict=True)
        )
        counts = Counter(table.column("reason").to_pylist())
        found += [
            f"{fate} {count} as {reason}, such as {examples[reason]}"
            for reason, count in sorted(counts.items())
        ]
    listed = "; ".join(found[:_REASONS_TOLD])
    return (
        f"source: no page in {where}: {listed}. Correct the paths, `kind` or the fields, or mend "
        "the files (docs/stages/source.md explains every reason)"
    )


def _source_of(item: Item) -> str:
    return item.name.partition("/")[0]


def _may_repeat(item: Item, sources: Mapping[str, Any]) -> bool:
    source, _, name = item.name.partition("/")
    return kind_of(name, sources[source]["kind"]) in REPEATING_KINDS


STAGE = Stage(
    name="source",
    version=5,
    description="Read web archives, tables, files and installed documentation as pages.",
    config=SourceConfig,
    inputs={"fetched": Input(("fetch.files",), "Files that were fetched.", optional=True)},
    outputs={
        "pages": Output("One row a page, payload as bytes.", PAGES, unique_ids=True),
        "removed": Output("Sound records that are no pages, with the reason.", REMOVED),
        "rejected": Output("Records that could not be read, with offset and cause.", REJECTED),
        "captures": Output("Which file holds which page; empty for a single file.", CAPTURES),
        "repeats": Output("Captures dropped because another file has them.", REPEATS),
    },
    run=run,
    panels=panels,
    requires=(Requirement(("fetch.names?",), _places_exist),),
    externals=externals,
    conservation=Conservation(None, kept="pages", removed="removed", rejected="rejected"),
    libraries=("fastwarc", "resiliparse", "docutils", "markdown-it-py", "zstandard"),
)
