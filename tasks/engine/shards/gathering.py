"""Several small parts of an input, or external items, as one shard.

A shard costs a few milliseconds whatever its size: files opened, synced and renamed, a receipt.
For a table of many parts of a page each that is more than the work. So small parts that follow
each other are read together.

Where a group ends is decided by the parts themselves and not by counting from the first: behind a
part of whose name the hash says so, one in 64. A part that is added, changed or taken away then
changes the group it is in, and the others are adopted as they are. Bounds on rows and bytes come
first; groups that end by them are found again behind the next part that ends one by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from tasks.engine.identity import canonical
from tasks.engine.shards.unit_files import UnitFiles
from tasks.engine.store.manifest import ROWS_PER_GROUP

_SMALL_BYTES = 1 << 18  # a larger part is a shard of its own
_GROUP_BYTES = 1 << 20  # compressed: some ten times as much in memory
_ENDS = 64


def gather_units(parts: Iterable[UnitFiles]) -> Iterator[UnitFiles]:
    """The same parts in the same order, small ones several a unit.

    A unit of several is called `<first>+<how many more>`: no two units of an input share the first.
    """
    group: list[UnitFiles] = []
    for part in parts:
        if group and not _fits(group, part):
            yield _merge(group)
            group = []
        group.append(part)
        if _bytes(part) > _SMALL_BYTES or _ends_a_group(part.name):
            yield _merge(group)
            group = []
    if group:
        yield _merge(group)


def whole_tables(parts: Iterable[UnitFiles]) -> Iterator[UnitFiles]:
    """The same parts, those that one writer cut (`name`, `name~0001`, …) one unit called `name`."""
    for name, group in groupby(parts, lambda part: part.name.partition("~")[0]):
        yield replace(_merge(list(group)), name=name)


def _bytes(part: UnitFiles) -> int:
    return part.files[0].size


def _fits(group: list[UnitFiles], part: UnitFiles) -> bool:
    rows = sum(known.rows or 0 for known in group) + (part.rows or 0)
    size = sum(_bytes(known) for known in group) + _bytes(part)
    return _bytes(part) <= _SMALL_BYTES and rows <= ROWS_PER_GROUP and size <= _GROUP_BYTES


def _ends_a_group(name: str) -> bool:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[0] % _ENDS == 0


def _merge(group: list[UnitFiles]) -> UnitFiles:
    first = group[0]
    if len(group) == 1:
        return first
    return UnitFiles(
        name=f"{first.name}+{len(group) - 1}",
        rows=None if first.rows is None else sum(unit.rows or 0 for unit in group),
        sha256=canonical.sha256_json([[unit.name, unit.sha256] for unit in group]),
        files=tuple(file for unit in group for file in unit.files),
    )
