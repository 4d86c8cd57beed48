"""Following one document through every stage, and a training sequence back to its documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from llm.rows import begins_with, is_equal, rows_with
from tasks.engine.errors import MissingInputError
from tasks.engine.store.artifact import Artifact, Data
from tasks.engine.store.part_files import read_part
from tasks.engine.upkeep.whereabouts import with_address, with_documents

_KEYS = ("doc_id", "doc_ids", "parent_doc_ids", "other_id", "kept_doc_id")
_LONG = ("text", "html", "tokens", "minhash", "signature", "input_ids", "messages")


@dataclass(frozen=True)
class Found:
    """A row that mentions the document.

    Attributes:
        column: in which the id was found.
        row: the row without its long columns.
    """

    stage: str
    output: str
    part: str
    column: str
    row: dict[str, Any]


def nobody(message: str) -> None:
    """Hears that all parts of a table have to be read."""


def resolve(
    artifacts: Iterable[Artifact], wanted: str, said: Callable[[str], None] = nobody
) -> str:
    """The doc_id behind an id, the beginning of one, or a URL.

    Args:
        said: hears of it where all parts of a large table have to be read.

    Raises:
        MissingInputError: nothing or more than one thing matches.
    """
    ids: set[str] = set()
    example = ""
    for artifact in artifacts:
        for name, output in artifact.manifest.outputs.items():
            columns = _names(output.columns)
            if "doc_id" not in columns:
                continue
            data = artifact.data(name)
            keys = [key for key in _KEYS if key in columns]
            addresses = "url" in columns
            named = [] if "://" in wanted else with_documents(data, keys, addresses, wanted, said)
            for part in named:
                table = data.part_table(part, ["doc_id"])
                ids.update(table.filter(begins_with(table["doc_id"], wanted))["doc_id"].to_pylist())
            if addresses and not ids:
                for part in with_address(data, keys, wanted, said):
                    table = data.part_table(part, ["doc_id", "url"])
                    ids.update(rows_with(table, "url", wanted)["doc_id"].to_pylist())
                    example = example or next(filter(None, table["url"].to_pylist()), "")
        if ids:
            break
    if len(ids) == 1:
        return ids.pop()
    if not ids:
        such = f", such as {example}" if example else ""
        raise MissingInputError(
            f"no document has the id or URL {wanted!r}; what is looked for is a whole URL as it "
            f"was read{such}, or the beginning of an id, in what the recipe built last"
        )
    shown = ", ".join(sorted(ids)[:5])
    raise MissingInputError(f"{wanted!r} matches {len(ids)} documents: {shown}; give more of it")


def trace(
    artifacts: Iterable[Artifact], doc_id: str, said: Callable[[str], None] = nobody
) -> list[Found]:
    """Every row of every output that mentions the document, in the order of the stages."""
    return [
        found
        for artifact in artifacts
        for name, output in artifact.manifest.outputs.items()
        for found in _rows(artifact, name, _names(output.columns), doc_id, said)
    ]


def sequence(pack: Artifact, sequence_id: int) -> dict[str, Any]:
    """The row of one training sequence: its doc_ids, where in them it starts, how long.

    Raises:
        MissingInputError: there is no such sequence.
    """
    columns = ["sequence_id", "split", "doc_ids", "doc_offsets", "doc_lengths"]
    for table in pack.data("sequences").tables(columns):
        rows = rows_with(table, "sequence_id", sequence_id).to_pylist()
        if rows:
            return dict(rows[0])
    raise MissingInputError(f"pack.sequences has no sequence {sequence_id}")


def _names(columns: list[str] | None) -> list[str]:
    return [column.split(":", 1)[0] for column in columns or []]


def _mask(column: pa.ChunkedArray, doc_id: str) -> Any:
    if pa.types.is_list(column.type):
        flat = column.combine_chunks()
        parents = flat.value_parent_indices()
        hits = set(parents.filter(is_equal(flat.flatten(), doc_id)).to_pylist())
        return pa.array([index in hits for index in range(len(column))])
    return is_equal(column, doc_id).combine_chunks()


def _rows(
    artifact: Artifact,
    output: str,
    columns: list[str],
    doc_id: str,
    said: Callable[[str], None],
) -> list[Found]:
    keys = [key for key in _KEYS if key in columns]
    if not keys:
        return []
    data: Data = artifact.data(output)
    found = []
    for part in with_documents(data, keys, "url" in columns, doc_id, said):
        path = data.path(part)
        table = read_part(path, keys)
        masks = {key: _mask(table[key], doc_id) for key in keys}
        # Of each row the first column that has the id.
        hits = {
            place: key
            for key in reversed(keys)
            for place in np.flatnonzero(masks[key].to_numpy(zero_copy_only=False)).tolist()
        }
        if not hits:
            continue
        shown = [name for name in columns if name not in _LONG]
        places = sorted(hits)
        rows = read_part(path, shown).take(places).to_pylist()
        found += [
            Found(artifact.stage, output, part.path, hits[place], row)
            for place, row in zip(places, rows, strict=True)
        ]
    return found
