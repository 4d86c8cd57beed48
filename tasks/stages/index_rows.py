"""Which documents an index holds, with where they come from and why some were left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from llm.corpus.attribution.tables import HELD_OUT, INDEXED, LEFT
from llm.tables import REMOVED, TRAIN
from tasks.engine.store.artifact import Data, Inputs

# Inputs with the documents each stage took out.
REMOVERS = ("sites", "filter", "dedup", "decontaminate", "pack")
_ORIGIN = ("url", "title", "source")


def removed_input(stage: str) -> str:
    """The name of the input with what a stage took out."""
    return f"{stage}_removed"


class Origins:
    """What is known of every document beside its text.

    Kept in memory: licences of those that have one, and what was said of those taken out.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._licence = _licences(inputs)
        self.left_out = dict(_left_out(inputs))

    def indexed(self, documents: pa.Table) -> pa.Table:
        """Rows of `INDEXED` for documents with url, title and source."""
        return self._with_licences(documents).select(INDEXED.names).cast(INDEXED)

    def left(self, documents: pa.Table) -> pa.Table:
        """Rows of `LEFT` for those of these documents that were left out."""
        ids = documents.column("doc_id").to_pylist()
        gone = [doc_id in self.left_out for doc_id in ids]
        rows = self._with_licences(documents.filter(pa.array(gone, pa.bool_())))
        said = [self.left_out[doc_id] for doc_id in rows.column("doc_id").to_pylist()]
        for name in ("stage", *REMOVED.names[1:]):
            rows = rows.append_column(
                LEFT.field(name), pa.array([row[name] for row in said], LEFT.field(name).type)
            )
        return rows.select(LEFT.names).cast(LEFT)

    def _with_licences(self, documents: pa.Table) -> pa.Table:
        ids = documents.column("doc_id").to_pylist()
        licences = [self._licence.get(doc_id) for doc_id in ids]
        table = documents.select(["doc_id", *_ORIGIN])
        return table.append_column("licence", pa.array(licences, pa.string()))


def trained(tokens: pa.Table, left_out: Mapping[str, Any]) -> pa.Array:
    """bool (rows,): which documents of `pack.tokens` stand in rows to train on."""
    columns = (tokens.column(name).to_pylist() for name in ("doc_id", "split"))
    return pa.array(
        [split == TRAIN and doc_id not in left_out for doc_id, split in zip(*columns, strict=True)],
        pa.bool_(),
    )


def _licences(inputs: Inputs) -> dict[str, str]:
    """By doc_id: what the page says of itself, else what its package or archive does."""
    found: dict[str, str] = {}
    if "pages" in inputs:
        for table in inputs["pages"].tables(["doc_id", "provenance"]):
            found.update(_pairs(table.flatten(), "provenance.license"))
    if "cleaned" in inputs and _has(inputs["cleaned"], "licence"):
        for table in inputs["cleaned"].tables(["doc_id", "licence"]):
            found.update(_pairs(table, "licence"))
    return found


def _pairs(table: pa.Table, column: str) -> Iterator[tuple[str, str]]:
    """doc_id and value of the rows that have one."""
    columns = (table.column(name).to_pylist() for name in ("doc_id", column))
    return ((doc_id, value) for doc_id, value in zip(*columns, strict=True) if value)


def _has(data: Data, column: str) -> bool:
    artifact = data.artifact
    records = artifact.manifest.outputs.values() if artifact else ()
    named = [record.columns or [] for record in records if record.data_id == data.data_id]
    return any(each.split(":", 1)[0] == column for columns in named for each in columns)


def _left_out(inputs: Inputs) -> Iterator[tuple[str, dict[str, Any]]]:
    for stage in REMOVERS:
        name = removed_input(stage)
        if name in inputs:
            for table in inputs[name].tables(REMOVED.names):
                for row in table.to_pylist():
                    yield row["doc_id"], {**row, "stage": stage}
    held_out = (
        doc_id
        for table in inputs["tokens"].tables(["doc_id", "split"])
        for doc_id, split in zip(*(column.to_pylist() for column in table.columns), strict=True)
        if split != TRAIN
    )
    said = {"reason": HELD_OUT, "value": None, "threshold": None, "detail": None}
    yield from ((doc_id, {**said, "stage": "dedup"}) for doc_id in held_out)
