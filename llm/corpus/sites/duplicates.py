"""Pages that are one page: of each address one stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import xxhash

from llm.corpus.sites.addresses import canonical, normalised
from llm.corpus.sites.tables import ADDRESSES, DUPLICATES

Keep = Literal["newest", "first"]
Row = Mapping[str, Any]  # of ADDRESSES
# When each page was got, as text that sorts by time; None where nobody knows.
Fetched = Mapping[str, str | None]


def addresses(documents: pa.Table) -> pa.Table:
    """Addresses of documents (doc_id, url, canonical_url, date), a table of `ADDRESSES`; documents
    without one have no row."""
    rows = []
    for row in documents.to_pylist():
        own = normalised(row["url"])
        if own is None:
            continue
        declared = canonical(own, row["url"], row["canonical_url"])
        rows.append(
            {
                "doc_id": row["doc_id"],
                "site": own.site,
                "own": own.address,
                "declared": None if declared is None else declared.address,
                "date": row["date"],
                "key": site_key(own.site),
            }
        )
    return pa.Table.from_pylist(rows, schema=ADDRESSES)


def site_key(site: str) -> int:
    """xxh3-64 of a site's name."""
    return xxhash.xxh3_64_intdigest(site.encode("utf-8", "surrogatepass"))


def duplicates(
    rows: Sequence[Row], most: int, keep: Keep, fetched: Callable[[Sequence[str]], Fetched]
) -> pa.Table:
    """Which pages go since another of the same address stays: a table of `DUPLICATES`.

    A declared address counts where at most `most` different own ones declare it: a list of
    articles that every article names is the address of none of them.

    Args:
        rows: of `ADDRESSES`, of whole sites.
        keep: "newest": the page that was got last, then that with the latest date of its own;
            "first": the other way round. Unknown ones come last. What is left undecided goes to
            the page got from the address itself, then to the smaller doc_id.
        fetched: when the pages of these doc_ids were got.
    """
    believed = _believed(rows, most)
    groups: dict[str, list[tuple[Row, bool]]] = {}
    for row in rows:
        by_declared = row["declared"] in believed
        address = row["declared"] if by_declared else row["own"]
        groups.setdefault(address, []).append((row, by_declared and address != row["own"]))
    several = {address: group for address, group in groups.items() if len(group) > 1}
    times = fetched([row["doc_id"] for group in several.values() for row, _ in group])
    found = []
    for address, group in sorted(several.items()):
        ordered = sorted(group, key=lambda page: (page[0]["own"] != address, page[0]["doc_id"]))
        for values in ({row["doc_id"]: row["date"] for row, _ in group}, times):
            ordered = _by_time(ordered, values, keep)
        kept = ordered[0][0]["doc_id"]
        found += [
            {"doc_id": row["doc_id"], "kept_doc_id": kept, "address": address, "declared": declared}
            for row, declared in ordered[1:]
        ]
    return pa.Table.from_pylist(found, schema=DUPLICATES)


def _by_time(
    pages: Sequence[tuple[Row, bool]], times: Fetched, keep: Keep
) -> list[tuple[Row, bool]]:
    """Stable: pages of equal times stay in order."""
    known = [page for page in pages if times.get(page[0]["doc_id"]) is not None]
    unknown = [page for page in pages if times.get(page[0]["doc_id"]) is None]
    known.sort(key=lambda page: times[page[0]["doc_id"]] or "", reverse=keep == "newest")
    return [*known, *unknown]


def _believed(rows: Iterable[Row], most: int) -> frozenset[str]:
    named: dict[str, set[str]] = {}
    for row in rows:
        if row["declared"] is not None:
            named.setdefault(row["declared"], set()).add(row["own"])
    return frozenset(address for address, owns in named.items() if len(owns) <= most)
