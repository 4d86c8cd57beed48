"""`source`: web archives, tables, files and installed documentation become one table of pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from llm.corpus.forget.opt_outs import OptOuts
from llm.corpus.source.open import Origin, read_records
from llm.corpus.source.pages import PAGES
from llm.corpus.source.record_table import (
    ADDRESSES,
    CAPTURED,
    OPTED_OUT,
    addressed,
    captured,
    divide,
    record_tables,
)
from llm.corpus.source.repeats import CAPTURES, REPEATS, repeated_captures
from llm.pydocs.reader import read_pinned
from llm.tables import REJECTED, REMOVED
from tasks.engine.declare import Conservation, Input, Output, Requirement
from tasks.engine.errors import IngotError
from tasks.engine.shards.unit import Emitted, Fact, Kept, Member, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages.source_config import SourceConfig
from tasks.stages.source_items import (
    all_items,
    all_opt_outs,
    externals,
    may_repeat,
    origin_of,
    places_exist,
    source_of,
)
from tasks.stages.source_panels import panels

_REASONS_TOLD = 5
LISTED = pa.schema([ADDRESSES.field("doc_id"), CAPTURES.field("unit"), ADDRESSES.field("url")])


class EmptySourceError(IngotError):
    """No source holds a single page; says what there was instead."""


def _read(file: Member, origin: Origin, limit: int) -> Iterator[pa.Table]:
    source, _, name = file.name.partition("/")
    records = (
        read_pinned(file.path, name, limit)
        if origin.kind == "pydocs"
        else read_records(file.path, name, origin, limit)
    )
    return record_tables(records, source, name, origin)


def list_captures(unit: Unit, origin: Mapping[str, Any], limit: int) -> Iterator[Emitted]:
    """The doc_id of every page of a file, or of several small ones; its records are kept."""
    for file in unit.files():
        found = [CAPTURED.empty_table()]
        for records in _read(file, Origin(**origin), limit):
            found.append(captured(records))
            yield Kept(file.name, records)
        yield "captures", _of_unit(found, file.name)


def list_addresses(
    unit: Unit, origin: Mapping[str, Any], limit: int, captures: bool
) -> Iterator[Emitted]:
    """The doc_id and URL of every page, which need no list of what is to be left out to be listed:
    an entry more leaves them as they are.

    Args:
        captures: emit what `list_captures` does too.
    """
    for file in unit.files():
        found, pages = [CAPTURED.empty_table()], [ADDRESSES.empty_table()]
        for records in _read(file, Origin(**origin), limit):
            found.append(captured(records))
            pages.append(addressed(records))
            yield Kept(file.name, records)
        if captures:
            yield "captures", _of_unit(found, file.name)
        yield "addresses", _of_unit(pages, file.name)


def _of_unit(tables: Sequence[pa.Table], unit: str) -> pa.Table:
    """Rows of one file, its name as the second column."""
    rows = pa.concat_tables(tables)
    return rows.add_column(1, "unit", pa.repeat(unit, rows.num_rows))


def read_unit(
    unit: Unit,
    origin: Mapping[str, Any],
    limit: int,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
    opted_out: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Emitted]:
    """Pages, removed and rejected records of one file or distribution.

    Args:
        origin: fields of the `Origin` it belongs to, and no other's: a shard is known by what it
            is given.
        elsewhere: captures that another unit keeps, doc_id -> that unit.
        opted_out: pages to leave out, doc_id -> what asks for it.
    """
    source, _, name = unit.name.partition("/")
    (file,) = unit.files()
    records = _read(file, Origin(**origin), limit) if unit.kept is None else unit.kept.tables()
    counts: Counter[str] = Counter()
    yield from divide(records, source, name, elsewhere, opted_out, counts)
    yield RowsIn(counts[f"records:{source}"])
    for note, count in sorted(counts.items()):
        if count:
            yield Fact(note, count)


def run(config: SourceConfig, inputs: Inputs, out: Out) -> None:
    """Read every unit, once; captures that several files hold are kept once.

    Raises:
        EmptySourceError: there is no page in all the sources.
        ExternalInputError: a place that a source names was not fetched.
        OptOutFileError: see `read_opt_outs`.
    """
    items = all_items(config, inputs)
    sources = {spec.name: origin_of(spec) for spec in config.sources}
    limit = {"limit": config.max_record_bytes}
    many = [item for item in items if may_repeat(item, sources)]
    opt_outs = all_opt_outs(inputs.external)
    for name, origin in sources.items():
        own = [item for item in items if source_of(item) == name]
        repeating = [item for item in own if may_repeat(item, sources)] if len(many) > 1 else []
        arguments = {"origin": origin, **limit}
        if own and opt_outs is not None:
            listing = arguments | {"captures": bool(repeating)}
            out.map(list_addresses, own, listing, gather=True)
        elif repeating:
            out.map(list_captures, repeating, arguments, gather=True)
    # Each file is told of its own repeats: those of a new file leave all others as they are.
    elsewhere: dict[str, dict[str, str]] = {}
    if len(many) > 1:
        repeats = repeated_captures(out.data("captures").table())
        with out.table("repeats") as table:
            table.write(repeats)
        for row in repeats.to_pylist():
            elsewhere.setdefault(row["unit"], {})[row["doc_id"]] = row["kept_unit"]
    leave_out = _opted_out(opt_outs, out, elsewhere) if opt_outs is not None else {}
    each = {
        item.name: {"origin": sources[source_of(item)]}
        | ({"elsewhere": elsewhere[item.name]} if item.name in elsewhere else {})
        | ({"opted_out": leave_out[item.name]} if item.name in leave_out else {})
        for item in items
    }
    out.map(read_unit, over=items, arguments=limit, each=each, from_kept=True)
    if not out.data("pages").rows:
        raise EmptySourceError(_no_page(out, len(items), sorted(sources)))


def _opted_out(
    opt_outs: OptOuts, out: Out, elsewhere: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """By file, the pages in it that are to be left out, with the entries that say so; a file
    without one is not told of any, and stays as it is."""
    found: dict[str, dict[str, str]] = {}
    for table in out.data("addresses").tables():
        ids, units, urls = (table.column(name).to_pylist() for name in ("doc_id", "unit", "url"))
        for place, entry in opt_outs.matches(ids, urls):
            unit, identity = units[place], ids[place]
            if identity not in elsewhere.get(unit, ()):
                found.setdefault(unit, {})[identity] = f"{entry.kind} {entry.text}"
    out.fact(OPTED_OUT, sum(len(pages) for pages in found.values()))
    return found


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
        "addresses": Output("Which file holds which URL, with opt_outs.", LISTED, optional=True),
    },
    run=run,
    panels=panels,
    requires=(Requirement(("fetch.names?",), places_exist),),
    externals=externals,
    conservation=Conservation(None, kept="pages", removed="removed", rejected="rejected"),
    libraries=("fastwarc", "resiliparse", "docutils", "markdown-it-py", "zstandard", "lz4"),
)
