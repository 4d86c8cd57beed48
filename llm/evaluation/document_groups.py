"""A measure over documents once more for each of their sources and languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from llm.evaluation.measure import Measure
from llm.rows import rows_among

_UNKNOWN = "unknown"


def grouped(measure: Measure, kind: str, groups: Sequence[str | None]) -> Iterator[Measure]:
    """The measure on the documents of each group, as "<metric>/<kind>/<group>"; nothing where all
    are of one.

    Args:
        kind: what the groups are: "source".
        groups: that of each unit of the measure.
    """
    members: dict[str, list[str]] = {}
    for unit, group in zip(measure.ids, groups, strict=True):
        members.setdefault(group or _UNKNOWN, []).append(unit)
    if len(members) < 2:
        return
    for group, ids in sorted(members.items()):
        yield replace(measure.on(tuple(ids)), metric=f"{measure.metric}/{kind}/{group}")


def languages(attributes: Sequence[Path], doc_ids: Sequence[str]) -> Mapping[str, str]:
    """Language of each of these documents that the tables of attributes know one of."""
    found: dict[str, str] = {}
    for path in attributes:
        table = rows_among(pq.read_table(path, columns=["doc_id", "language"]), doc_ids)
        found.update(zip(*(table.column(n).to_pylist() for n in table.column_names), strict=True))
    return found
