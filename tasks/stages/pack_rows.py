"""The rows of one partition of documents, and how often each document is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.rows import is_equal
from llm.tables import REMOVED, SPLITS, TRAIN
from llm.tokens import sequences
from llm.tokens.flat_tokens import FlatTokens
from llm.tokens.mixture import repeats
from llm.tokens.partitions import PARTITIONS, tokens_of_partition
from llm.tokens.sequences import SOURCE, Packed
from llm.tokens.slices import MIXED_AS
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.store.part_files import read_part


def pack_part(
    unit: Unit,
    first: int,
    pad: int,
    sequence_length: int,
    strategy: str,
    seed: int,
    epochs: Mapping[str, float],
    by_source: bool,
) -> Iterator[Emitted]:
    """The rows of one partition, and the documents in it that the mixture does not use.

    Args:
        first: sequence_id of its first row.
        epochs: of the weighted sources and slices.
    """
    partition = unit.table()
    documents = partition.select(PARTITIONS.names)
    parts = [partial(read_part, file) for file in unit.shared_files("tokens")]
    path = unit.scratch / "tokens.bin"
    flat = FlatTokens(path, tokens_of_partition(documents, parts))
    index = by_mixture(flat.index, partition)
    uses = uses_of(index, epochs, seed)
    yield "removed", _unused(index, uses, epochs)
    for split in SPLITS:
        how = (
            (sequence_length + 1, strategy, seed)
            if split == TRAIN
            else (sequence_length + 1, "concatenate", None)
        )
        for source, packed in _plans(index, uses, split, by_source, *how):
            for table in sequences.rows(packed, flat, split, pad, first):
                yield "sequences", _of_source(table, source) if by_source else table
            first += packed.plan.rows


def by_mixture(documents: pa.Table, partition: pa.Table) -> pa.Table:
    """Documents whose source is what the mixture calls it.

    Args:
        documents: those of the partition, by doc_id as they are there.
        partition: of `PARTITIONS`; with slices, `MIXED_AS` is behind its columns.
    """
    if MIXED_AS.name not in partition.column_names:
        return documents
    place = documents.column_names.index(SOURCE.name)
    return documents.set_column(place, SOURCE, partition.column(MIXED_AS.name))


def _plans(
    index: pa.Table,
    uses: NDArray[np.int64],
    split: str,
    by_source: bool,
    capacity: int,
    strategy: str,
    seed: int | None,
) -> Iterator[tuple[str | None, Packed]]:
    """The rows of a split, in order; those of each source apart where that is wanted.

    Validation rows stay one stream: a loss over the first of them is to be one over all sources.
    """
    member = is_equal(index.column("split"), split).to_numpy()
    groups: list[tuple[str | None, NDArray[np.bool_]]] = [(None, member)]
    if by_source and split == TRAIN:
        named = index.column("source").fill_null("")
        present = sorted(set(named.filter(pa.array(member)).to_pylist()))
        groups = [(source, member & is_equal(named, source).to_numpy()) for source in present]
    for source, mine in groups:
        yield (
            source,
            sequences.pack(index.filter(pa.array(mine)), uses[mine], capacity, strategy, seed),
        )


def _of_source(table: pa.Table, source: str | None) -> pa.Table:
    return table.append_column(SOURCE, pa.array([source] * table.num_rows, pa.string()))


def uses_of(documents: pa.Table, epochs: Mapping[str, float], seed: int) -> NDArray[np.int64]:
    """int64 (documents,): how often each is used."""
    ids, sources = (documents.column(name).to_pylist() for name in ("doc_id", "source"))
    train = is_equal(documents.column("split"), TRAIN).to_numpy()
    return np.where(train, repeats(ids, sources, epochs, seed), 1)


def _unused(documents: pa.Table, uses: NDArray[np.int64], epochs: Mapping[str, float]) -> pa.Table:
    """The documents that are not used, as rows of `REMOVED`."""
    unused = documents.filter(pa.array(uses == 0))
    sources = unused.column("source").to_pylist()
    columns = {
        "doc_id": unused.column("doc_id"),
        "reason": ["mixture"] * len(sources),
        "value": [0.0] * len(sources),
        "threshold": [epochs[source] for source in sources],
        "detail": sources,
    }
    return pa.table(columns, schema=REMOVED)
