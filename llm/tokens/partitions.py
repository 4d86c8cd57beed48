"""Documents in partitions, each of which is packed by itself: what is packed stays as it is when
there are more documents, and theirs are rows behind it.

A partition is the list of its documents, which says of each what its tokens are. Equal lists give
equal rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from llm.errors import ExpectedError
from llm.tables import DOC_ID, SPLIT

PARTITIONS = pa.schema(
    [
        DOC_ID,
        SPLIT,
        pa.field("source", pa.string()),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("digest", pa.uint64(), nullable=False),
    ]
)
_READ = ["doc_id", "split", "source", "bytes", "tokens"]
Part = Callable[[Sequence[str]], pa.Table]


class OtherTokensError(ExpectedError, ValueError):
    """A partition lists documents that are not there, or have other tokens than it says."""


def listed(tokens: Iterable[pa.Table]) -> pa.Table:
    """Documents as rows of `PARTITIONS`, by doc_id.

    Args:
        tokens: tables with doc_id, split, source, bytes and tokens (list<int32>).
    """
    return _by_id([_listed(table) for table in tokens])


def _listed(tokens: pa.Table) -> pa.Table:
    lists = tokens.column("tokens").combine_chunks()
    length = lists.value_lengths().to_numpy().astype(np.int64)
    values = np.ascontiguousarray(lists.flatten().to_numpy(), dtype=np.int32)
    ends = np.cumsum(length)
    digests = [
        xxhash.xxh3_64_intdigest(values[start:end].data)
        for start, end in zip((ends - length).tolist(), ends.tolist(), strict=True)
    ]
    columns = [tokens.column(name) for name in PARTITIONS.names[:4]]
    return pa.table([*columns, pa.array(length), pa.array(digests, pa.uint64())], schema=PARTITIONS)


def _by_id(found: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables([PARTITIONS.empty_table(), *found]).sort_by("doc_id")


def divided(documents: pa.Table, before: Sequence[tuple[int, pa.Table]]) -> dict[int, pa.Table]:
    """The documents of each partition by its number, none of them empty; rows by doc_id.

    A document stays in the partition it is in, and those that are in none make up a new one.

    Args:
        documents: of `PARTITIONS`, by doc_id.
        before: number and documents (doc_id) of the partitions there are.
    """
    ids = [_names(table) for _, table in before]
    numbers = np.repeat([number for number, _ in before], [len(each) for each in ids])
    known = np.concatenate([np.empty(0, "S1"), *ids])
    order = np.argsort(known, kind="stable")
    places = _places(_names(documents), known[order])
    new = max((number for number, _ in before), default=-1) + 1
    of = np.full(documents.num_rows, new, dtype=np.int64)
    of[places >= 0] = numbers[order][places[places >= 0]]
    return {
        int(number): documents.filter(pa.array(of == number)) for number in np.unique(of).tolist()
    }


def tokens_of_partition(documents: pa.Table, parts: Iterable[Part]) -> Iterator[pa.Table]:
    """The rows of a partition's documents, a part at a time; of a part that has none only the
    doc_ids are read.

    They may be relied on once all of them were given: the last look is at all together.

    Args:
        documents: of `PARTITIONS`, by doc_id.
        parts: given names of columns, each gives those of its rows; doc_id, split, source, bytes
            and tokens, of all these documents among others.

    Raises:
        OtherTokensError: they lack some, or what a document has is not what the list says.
    """
    wanted = _names(documents)
    found = []
    for read in parts:
        inside = _places(_names(read(["doc_id"])), wanted) >= 0
        if inside.any():
            own = read(_READ).filter(pa.array(inside))
            found.append(_listed(own))
            yield own
    if not _by_id(found).equals(documents):
        raise OtherTokensError(
            "the tokens of a partition are not those it was listed with; `ingot verify --deep` "
            "marks damaged artifacts, `ingot run` rebuilds them"
        )


def _names(table: pa.Table) -> NDArray[np.bytes_]:
    return np.array([name.encode() for name in table.column("doc_id").to_pylist()], dtype="S")


def _places(names: NDArray[np.bytes_], known: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """int64 (names,): where in the ascending `known` each is, -1 = nowhere."""
    if not len(known) or not len(names):
        return np.full(len(names), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, names), len(known) - 1)
    found: NDArray[np.int64] = np.where(known[at] == names, at, -1)
    return found
