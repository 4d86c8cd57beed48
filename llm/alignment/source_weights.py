"""How often rows of each source are drawn in a pass over the data.

A row of weight 2.5 is drawn twice, and half of such rows a third time: which ones is a function of
the seed and the row's id, whatever else there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from llm.errors import ExpectedError

_DRAWS = 1 << 64
_NAMED = 10  # sources in a message


class SourceWeightError(ExpectedError, ValueError):
    """A weight is given to a source there is not, or all rows weigh nothing; names them."""


@dataclass(frozen=True)
class SourceWeight:
    """A weight of the rows of some sources.

    Attributes:
        source: a source's name, or a pattern of names with * and ?.
        weight: how often a pass draws each of their rows.
    """

    source: str
    weight: float


@dataclass(frozen=True)
class Draws:
    """What a pass draws.

    Attributes:
        rows: places in the table, one for each draw, in its order.
        told: by source its rows, their weight and the draws of a pass.
    """

    rows: NDArray[np.int64]
    told: list[dict[str, Any]]


def draws(
    training: pa.Table, tables: Iterable[pa.Table], weights: Sequence[SourceWeight], seed: int
) -> Draws:
    """The draws of a table of rows with doc_id; the first weight whose source fits counts, and 1
    where none does.

    Args:
        tables: with the doc_id and the source of every row.

    Raises:
        SourceWeightError
    """
    sources: dict[str, str] = {}
    for table in tables:
        names = table.column("source").to_pylist()
        sources.update(zip(table.column("doc_id").to_pylist(), names, strict=True))
    known = sorted(set(sources.values()))
    for one in weights:
        if not any(fnmatchcase(name, one.source) for name in known):
            shown = ", ".join(known[:_NAMED]) + (" …" if len(known) > _NAMED else "")
            raise SourceWeightError(
                f"weights: no row is of a source {one.source!r}; there are {shown}"
            )
    by_source = {
        name: next((one.weight for one in weights if fnmatchcase(name, one.source)), 1.0)
        for name in known
    }
    ids = training.column("doc_id").to_pylist()
    times = np.array([_times(by_source[sources[one]], one, seed) for one in ids], dtype=np.int64)
    if not times.sum():
        raise SourceWeightError(
            f"weights: none of {len(ids)} rows is drawn; give a source of theirs a weight above 0"
        )
    rows, drawn = Counter(sources[one] for one in ids), Counter[str]()
    for one, count in zip(ids, times.tolist(), strict=True):
        drawn[sources[one]] += count
    told = [
        {"source": name, "rows": rows[name], "weight": by_source[name], "drawn": drawn[name]}
        for name in known
        if rows[name]
    ]
    return Draws(np.repeat(np.arange(len(ids)), times), told)


def _times(weight: float, doc_id: str, seed: int) -> int:
    share = xxhash.xxh3_64_intdigest(f"{seed}:weight:{doc_id}".encode()) / _DRAWS
    return int(weight) + (share < weight - int(weight))
