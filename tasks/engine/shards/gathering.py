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
from dataclasses import dataclass

from tasks.engine.identity import canonical
from tasks.engine.shards.unit import Member, Unit
from tasks.engine.store.manifest import ROWS_PER_GROUP

_SMALL_BYTES = 1 << 18  # a larger part is a shard of its own
_GROUP_BYTES = 1 << 20  # compressed: some ten times as much in memory
_ENDS = 64


@dataclass(frozen=True)
class Sized:
    """A part and the bytes of its file."""

    unit: Unit
    bytes: int


def gather_units(parts: Iterable[Sized]) -> Iterator[Unit]:
    """The same parts in the same order, small ones several a unit.

    A unit of several is called `<first>+<how many more>`: no two units of an input share the first.
    """
    group: list[Sized] = []
    for part in parts:
        if group and not _fits(group, part):
            yield _merge(group)
            group = []
        group.append(part)
        if part.bytes > _SMALL_BYTES or _ends_a_group(part.unit.name):
            yield _merge(group)
            group = []
    if group:
        yield _merge(group)


def _fits(group: list[Sized], part: Sized) -> bool:
    rows = sum(known.unit.rows or 0 for known in group) + (part.unit.rows or 0)
    size = sum(known.bytes for known in group) + part.bytes
    return part.bytes <= _SMALL_BYTES and rows <= ROWS_PER_GROUP and size <= _GROUP_BYTES


def _ends_a_group(name: str) -> bool:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[0] % _ENDS == 0


def _merge(group: list[Sized]) -> Unit:
    units = [part.unit for part in group]
    first = units[0]
    if len(units) == 1:
        return first
    return Unit(
        name=f"{first.name}+{len(units) - 1}",
        path=first.path,
        rows=None if first.rows is None else sum(unit.rows or 0 for unit in units),
        sha256=canonical.sha256_json([[unit.name, unit.sha256] for unit in units]),
        members=tuple(Member(unit.name, unit.path, unit.sha256) for unit in units),
    )
