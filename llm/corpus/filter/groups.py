"""Which rules a document has to meet, by where it is from and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NO_GROUP = -1
# What documents are told apart by: the first two are columns of theirs, the last of attributes.
SOURCE, PAGE_TYPE, LANGUAGE = "source", "page_type", "language"


@dataclass(frozen=True)
class Group:
    """Documents that have one of the values in each of these columns; empty = whatever it is."""

    name: str
    sources: tuple[str, ...]
    page_types: tuple[str, ...]
    languages: tuple[str, ...]

    def columns(self) -> dict[str, tuple[str, ...]]:
        """The columns it asks for, with the values it takes."""
        asked = {SOURCE: self.sources, PAGE_TYPE: self.page_types, LANGUAGE: self.languages}
        return {column: values for column, values in asked.items() if values}


def columns_asked(groups: Sequence[Group]) -> list[str]:
    """The columns that any of the groups asks for, sorted."""
    return sorted({column for group in groups for column in group.columns()})


def groups_of(groups: Sequence[Group], documents: pa.Table) -> NDArray[np.int64]:
    """int64 (rows,): the first of the groups that each document fits, `NO_GROUP` where none.

    Args:
        documents: every column the groups ask for. A null fits no list of values.
    """
    import pyarrow.compute as pc

    found = np.full(documents.num_rows, NO_GROUP, dtype=np.int64)
    for place, group in enumerate(groups):
        fits = found == NO_GROUP
        for column, values in group.columns().items():
            among = pc.is_in(documents.column(column), value_set=pa.array(values, pa.string()))
            fits &= np.asarray(among.to_numpy(), dtype=bool)
        found[fits] = place
    return found
