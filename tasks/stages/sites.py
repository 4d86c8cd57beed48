"""sites: what the pages of one site repeat: pages under several addresses, lines on many pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from llm.corpus.sites.cutting import cut_lines
from llm.corpus.sites.duplicates import addresses, duplicates
from llm.corpus.sites.repeated import (
    count_lines,
    line_key,
    line_of,
    ranges,
    repeated_lines,
    sites_of,
)
from llm.corpus.sites.tables import (
    ADDRESSES,
    COUNTS,
    CUT,
    CUT_LINES,
    DUPLICATES,
    LINES,
    REPEATED,
    SITES,
)
from llm.tables import DOCUMENTS, REMOVED
from tasks.engine.config import ShardedConfig
from tasks.engine.declare import Conservation, Input, Output
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Data, Inputs
from tasks.stages.sites_panels import panels

# As `clean` has them: `annotate` reads robots, the other stages the first eight.
PAGES = DOCUMENTS.append(pa.field("robots", pa.string()))
SAME_ADDRESS, EMPTY = "same_address", "empty"
# Addresses that are in memory at once.
_AT_ONCE = 1_000_000


class SitesConfig(ShardedConfig):
    """Which pages are one page, and which lines stand on too many."""

    duplicate_urls: bool = Field(
        True,
        description="Of pages with one address, their own or the canonical one they declare, keep "
        "one.",
    )
    keep: Literal["newest", "first"] = Field(
        "newest",
        description="Which of them: the one got last or first; where that is not known, by the "
        "date the page gives.",
    )
    max_declaring: int = Field(
        10,
        description="Pages that may declare one canonical address; of more, as where all articles "
        "name the list of them, it is not believed.",
        ge=1,
    )
    repeated_lines: bool = Field(
        True, description="Take lines that stand on many pages of a site out of its pages."
    )
    min_pages: int = Field(
        10, description="Pages of the site that have to have such a line, at least.", ge=2
    )
    min_share: float = Field(
        0.02, description="Share of the site's pages that have to have it, at least.", ge=0, le=1
    )
    long_line: int = Field(
        40,
        description="Characters from which such a line goes wherever it stands; shorter ones may "
        "be headings and go where a page begins or ends with several, or in a list of links.",
        ge=1,
    )


def address_part(unit: Unit) -> Iterator[Emitted]:
    """Addresses of the documents of one part."""
    for documents in unit.tables(["doc_id", "url", "canonical_url", "date"]):
        yield "addresses", addresses(documents)


def count_part(unit: Unit) -> Iterator[Emitted]:
    """On how many pages of one part each line of a site stands."""
    known = _known(unit)
    own = _own_sites(unit)

    def pages() -> Iterator[tuple[str, str]]:
        for documents in unit.tables(["doc_id", "text"]):
            columns = (documents.column(name).to_pylist() for name in ("doc_id", "text"))
            for doc_id, text in zip(*columns, strict=True):
                if doc_id in own and doc_id not in known.duplicates:
                    yield own[doc_id], text or ""

    yield "counts", count_lines(pages(), known.least)


def write_part(unit: Unit, long_line: int) -> Iterator[Emitted]:
    """The pages of one part that stay, without what their sites repeat."""
    known = _known(unit)
    repeated = _repeated(tuple(unit.shared_files("repeated")))
    own = _own_sites(unit)
    lost: dict[tuple[str, str], list[int]] = {}
    for documents in unit.tables(PAGES.names):
        kept, removed, cut = [], [], []
        for row in documents.to_pylist():
            doc_id, site = row["doc_id"], own.get(row["doc_id"], "")
            if doc_id in known.duplicates:
                removed.append(_removed(doc_id, SAME_ADDRESS, known.duplicates[doc_id]))
                continue
            text, gone = row["text"], list[str]()
            if site in known.least:
                text, gone = cut_lines(text, _is_repeated(site, repeated), long_line)
            if gone:
                for line in gone:
                    counts = lost.setdefault((site, line_of(line)), [0, 0])
                    counts[0] += 1
                    counts[1] += len(line)
                # Blank lines between two that went are gone with them.
                shorter = len(row["text"]) - len(text)
                cut.append({"doc_id": doc_id, "lines": len(gone), "characters": shorter})
                row = {**row, "text": text, "text_chars": len(text)}
            if gone and not text.strip():
                removed.append(_removed(doc_id, EMPTY, f"nothing but lines of {site}"))
            else:
                kept.append(row)
        yield "documents", pa.Table.from_pylist(kept, PAGES)
        yield "removed", pa.Table.from_pylist(removed, REMOVED)
        yield "cut", pa.Table.from_pylist(cut, CUT)
    rows = [
        {"key": line_key(*line), "site": line[0], "line": line[1], "removed": n, "characters": size}
        for line, (n, size) in sorted(lost.items())
    ]
    yield "cut_lines", pa.Table.from_pylist(rows, CUT_LINES)


def _is_repeated(site: str, repeated: frozenset[int]) -> Callable[[str], bool]:
    return lambda line: line_key(site, line) in repeated


def _removed(doc_id: str, reason: str, detail: str) -> dict[str, Any]:
    return {
        "doc_id": doc_id, "reason": reason, "value": None, "threshold": None, "detail": detail
    }  # fmt: skip


class _Known:
    """What is decided over all parts: pages that go, with why; sites whose lines are counted."""

    def __init__(self, gone: Sequence[Path], sites: Sequence[Path]) -> None:
        self.duplicates: dict[str, str] = {}
        for file in gone:
            for row in pq.read_table(file).to_pylist():
                self.duplicates[row["doc_id"]] = f"{row['kept_doc_id']}: {row['address']}"
        self.least: dict[str, int] = {}
        for file in sites:
            table = pq.read_table(file, columns=["site", "least"])
            self.least.update(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _known(unit: Unit) -> _Known:
    return _read_known(tuple(unit.shared_files("duplicates")), tuple(unit.shared_files("sites")))


# A worker counts and writes many parts with the same decisions.
@lru_cache(maxsize=1)
def _read_known(gone: tuple[Path, ...], sites: tuple[Path, ...]) -> _Known:
    return _Known(gone, sites)


@lru_cache(maxsize=1)
def _repeated(files: tuple[Path, ...]) -> frozenset[int]:
    keys: set[int] = set()
    for file in files:
        keys.update(pq.read_table(file, columns=["key"]).column("key").to_pylist())
    return frozenset(keys)


def _own_sites(unit: Unit) -> dict[str, str]:
    """The site of each document of the part that has one."""
    found: dict[str, str] = {}
    for documents in unit.tables(["doc_id", "url", "canonical_url", "date"]):
        table = addresses(documents)
        columns = (table.column(name).to_pylist() for name in ("doc_id", "site"))
        found.update(zip(*columns, strict=True))
    return found


def run(config: SitesConfig, inputs: Inputs, out: Out) -> None:
    """List addresses, decide which pages go, count lines on the others, take out what is repeated.

    Pages first: of a page that was got fifty times every line would stand on fifty pages.
    """
    out.map(address_part, over="documents")
    pages = _write_duplicates(config, inputs, out)
    with out.table("sites") as writer:
        if config.repeated_lines:
            writer.write(sites_of(pages, config.min_pages, config.min_share))
    out.map(count_part, over="documents", shared=("duplicates", "sites"))
    counts = out.data("counts")
    with out.table("repeated") as writer:
        for table in repeated_lines(counts.rows, lambda *ends: _in_range(counts, *ends)):
            writer.write(table)
    out.map(
        write_part,
        over="documents",
        shared=("duplicates", "sites", "repeated"),
        arguments={"long_line": config.long_line},
    )
    _write_lines(out)
    out.fact("sites", len(pages))


def _in_range(data: Data, first: int, last: int) -> Iterator[pa.Table]:
    """Rows whose key lies in a range, a part at a time."""
    ends = (pa.scalar(end, pa.uint64()) for end in (first, last))
    bounds = list(zip(("key", "key"), (">=", "<="), ends, strict=True))
    for part in data.parts:
        table = pq.read_table(data.path(part), filters=bounds)
        if table.num_rows:
            yield table


def _write_duplicates(config: SitesConfig, inputs: Inputs, out: Out) -> Counter[str]:
    """Write which pages go for which others; returns how many stay of each site."""
    listed = out.data("addresses")
    pages: Counter[str] = Counter()
    with out.table("duplicates") as writer:
        for first, last in ranges(listed.rows, _AT_ONCE):
            rows = [row for table in _in_range(listed, first, last) for row in table.to_pylist()]
            pages.update(row["site"] for row in rows)
            if not config.duplicate_urls:
                continue
            found = duplicates(
                rows, config.max_declaring, config.keep, lambda ids: _fetched(inputs, ids)
            )
            site = {row["doc_id"]: row["site"] for row in rows}
            pages.subtract(site[doc_id] for doc_id in found.column("doc_id").to_pylist())
            writer.write(found)
    return pages


def _fetched(inputs: Inputs, doc_ids: Sequence[str]) -> Mapping[str, str | None]:
    """When pages were got, where their source knows."""
    pages = inputs.get("pages")
    wanted = frozenset(doc_ids)
    found: dict[str, str | None] = {}
    if pages is None or not wanted:
        return found
    for table in pages.tables(["doc_id", "fetched_at"]):
        columns = (table.column(name).to_pylist() for name in ("doc_id", "fetched_at"))
        for doc_id, at in zip(*columns, strict=True):
            if doc_id in wanted and at is not None:
                found[doc_id] = at.isoformat()
    return found


def _write_lines(out: Out) -> None:
    """Of each line that went: on how many pages it stands, and what went in all, most first."""
    pages: dict[int, int] = {}
    for table in out.data("repeated").tables():
        pages.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    sizes = {row["site"]: row["pages"] for row in out.data("sites").table().to_pylist()}
    lost: dict[int, dict[str, Any]] = {}
    for table in out.data("cut_lines").tables():
        for row in table.to_pylist():
            known = lost.setdefault(row["key"], {**row, "removed": 0, "characters": 0})
            known["removed"] += row["removed"]
            known["characters"] += row["characters"]
    ordered = sorted(lost.values(), key=lambda row: (-row["characters"], row["site"], row["line"]))
    rows = [
        {**row, "pages": pages[row["key"]], "site_pages": sizes[row["site"]]} for row in ordered
    ]
    with out.table("lines") as writer:
        writer.write(
            pa.Table.from_pylist([{n: row[n] for n in LINES.names} for row in rows], schema=LINES)
        )


STAGE = Stage(
    name="sites",
    version=1,
    description="Takes out what the pages of one site repeat: pages under several addresses, and "
    "lines on many pages.",
    config=SitesConfig,
    inputs={
        "documents": Input(("clean.documents",), "Cleaned documents."),
        "pages": Input(("source.pages",), "When each page was got.", optional=True),
    },
    outputs={
        "documents": Output("Pages that stay, without repeated lines.", PAGES, unique_ids=True),
        "removed": Output("Pages that went, and for which other.", REMOVED, unique_ids=True),
        "lines": Output("Lines that went, with pages and characters.", LINES),
        "cut": Output("What each document lost.", CUT, unique_ids=True),
        "duplicates": Output("Pages with the address of another.", DUPLICATES, unique_ids=True),
        "sites": Output("Sites with enough pages to repeat lines.", SITES),
        "addresses": Output("The addresses of each document.", ADDRESSES, unique_ids=True),
        "counts": Output("On how many pages of a part each line stands.", COUNTS),
        "repeated": Output("Keys of the lines that stand on enough pages.", REPEATED),
        "cut_lines": Output("Lines that each part lost.", CUT_LINES),
    },
    run=run,
    panels=panels,
    conservation=Conservation("documents", kept="documents", removed="removed"),
    libraries=("courlan", "xxhash", "numpy"),
)
