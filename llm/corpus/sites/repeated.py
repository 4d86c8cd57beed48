"""On how many pages of its site each line stands."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from llm.corpus.sites.tables import COUNTS, REPEATED, SITES

# Rows of counts that are in memory at once, 24 bytes each.
_AT_ONCE = 4_000_000

# A table's rows whose keys lie in [first, last].
InRange = Callable[[int, int], Iterable[pa.Table]]


def line_of(line: str) -> str:
    """A line as it is compared: without indentation, single blanks."""
    return " ".join(line.split())


def line_key(site: str, line: str) -> int:
    """xxh3-64 of a site and one of its lines."""
    return xxhash.xxh3_64_intdigest(f"{site}\n{line}".encode("utf-8", "surrogatepass"))


def sites_of(pages: Mapping[str, int], min_pages: int, min_share: float) -> pa.Table:
    """Sites on which lines can be repeated, and on how many pages that has to be.

    Args:
        pages: of each site.
        min_pages, min_share: a line goes from so many pages and so large a share of them on.
    """
    least = {site: max(min_pages, _share_of(count, min_share)) for site, count in pages.items()}
    rows = [
        {"site": site, "pages": count, "least": least[site]}
        for site, count in sorted(pages.items())
        if count >= least[site]
    ]
    return pa.Table.from_pylist(rows, schema=SITES)


def _share_of(pages: int, share: float) -> int:
    return math.ceil(share * pages - 1e-9)


def count_lines(pages: Iterable[tuple[str, str]], least: Mapping[str, int]) -> pa.Table:
    """On how many of these pages (site, text) each line stands: a table of `COUNTS`, by key.

    Args:
        least: by site; pages of others are passed over.
    """
    counts: Counter[int] = Counter()
    needed: dict[int, int] = {}
    for site, text in pages:
        if site in least:
            keys = {line_key(site, line) for line in _lines(text)}
            counts.update(keys)
            needed.update(dict.fromkeys(keys, least[site]))
    ordered = sorted(counts)
    columns = [ordered, [needed[key] for key in ordered], [counts[key] for key in ordered]]
    return pa.table(columns, schema=COUNTS)


def _lines(text: str) -> set[str]:
    return {line_of(line) for line in text.split("\n")} - {""}


def repeated_lines(rows: int, in_range: InRange) -> Iterator[pa.Table]:
    """Lines that stand on enough pages of their sites: tables of `REPEATED`, by key.

    The counts are gone through a range of keys at a time, so that memory does not grow with them.

    Args:
        rows: how many counts there are in all.
        in_range: the counts with keys in a range.
    """
    for first, last in ranges(rows, _AT_ONCE):
        tables = list(in_range(first, last))
        if not tables:
            continue
        table = pa.concat_tables(tables)
        keys, place = np.unique(_numbers(table, "key"), return_inverse=True)
        pages = np.zeros(len(keys), dtype=np.int64)
        np.add.at(pages, place, _numbers(table, "pages"))
        least = np.zeros(len(keys), dtype=np.int64)
        least[place] = _numbers(table, "least")
        enough = pages >= least
        yield pa.table([keys[enough], pages[enough]], schema=REPEATED)


def _numbers(table: pa.Table, column: str) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = table.column(column).to_numpy()
    return found


def ranges(rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of 64-bit keys that hold some `most` of `rows` each, first and last key."""
    parts = max(1, -(-rows // most))
    edges = [(1 << 64) * part // parts for part in range(parts + 1)]
    yield from ((first, last - 1) for first, last in pairwise(edges))
