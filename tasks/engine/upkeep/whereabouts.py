"""Which parts of a table have a document: found once by reading all, then remembered.

A table of a million parts takes minutes to read for one document. What was found is kept in the
cache folder, 12 bytes a document and part, in a file named by the table's data id: so it is never
out of date, and without it all parts are read again. It may name a part too many, never one too
few: documents are told apart by the first eight bytes of their id, addresses by a digest of eight.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.cache_folder import cache_folder, keep
from tasks.engine.store.artifact import Data
from tasks.engine.store.manifest import File

FEW = 256  # parts that are read rather than remembered
_BYTES = 8
_KIND = "parts"
_TABLES = 64  # of which it is remembered
_ENTRY = np.dtype([("key", "<u8"), ("part", "<u4")])


def with_documents(
    data: Data, columns: Sequence[str], beginning: str, said: Callable[[str], None]
) -> Sequence[File]:
    """Parts that may have a document whose id begins so, in order.

    Args:
        columns: that hold ids, or lists of them.
        said: hears of it when all parts have to be read.
    """
    start = beginning.encode()[:_BYTES]
    low, high = (int.from_bytes(start.ljust(_BYTES, filler), "big") for filler in (b"\0", b"\xff"))
    return _between(data, "-".join(columns), columns, _of_id, low, high, said)


def with_address(data: Data, address: str, said: Callable[[str], None]) -> Sequence[File]:
    """Parts of a table with the column `url` that may have a document of this address."""
    key = _of_address(address)
    return _between(data, "url", ["url"], _of_address, key, key, said)


def _of_id(doc_id: str) -> int:
    """Of equal order with the ids."""
    return int.from_bytes(doc_id.encode()[:_BYTES].ljust(_BYTES, b"\0"), "big")


def _of_address(address: str) -> int:
    return int.from_bytes(blake2b(address.encode(), digest_size=_BYTES).digest(), "big")


def _between(
    data: Data,
    name: str,
    columns: Sequence[str],
    key_of: Callable[[str], int],
    low: int,
    high: int,
    said: Callable[[str], None],
) -> Sequence[File]:
    if len(data.parts) <= FEW:
        return data.parts
    folder, name = cache_folder() / "whereabouts", f"{data.data_id}-{name}.npy"
    entries = _kept(folder / f"{_KIND}-{name}")
    if entries is None:
        said(f"reading {len(data.parts):,} parts once; their documents are found at once from then")
        entries = _read(data, columns, key_of)
        content = io.BytesIO()
        np.save(content, entries, allow_pickle=False)
        keep(folder, _KIND, name, content.getbuffer(), _TABLES)
    keys = entries["key"]
    first = np.searchsorted(keys, np.uint64(low), "left")
    end = np.searchsorted(keys, np.uint64(high), "right")
    return [data.parts[place] for place in np.unique(entries["part"][first:end]).tolist()]


def _read(data: Data, columns: Sequence[str], key_of: Callable[[str], int]) -> Any:
    """(documents in parts,) of `_ENTRY`, by key."""
    found = []
    for place, table in enumerate(data.tables(columns)):
        keys = {key_of(value) for name in columns for value in _values(table.column(name))}
        entries = np.empty(len(keys), _ENTRY)
        entries["key"] = np.fromiter(keys, np.uint64, len(keys))
        entries["part"] = place
        found.append(entries)
    whole = np.concatenate(found)
    return whole[np.argsort(whole["key"], kind="stable")]


def _values(column: pa.ChunkedArray) -> Iterable[str]:
    flat = column.combine_chunks()
    if pa.types.is_list(flat.type):
        flat = flat.flatten()
    return (value for value in flat.to_pylist() if value is not None)


def _kept(path: Path) -> Any:
    """What was found before, mapped; `None` where that cannot be read."""
    try:
        entries = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return entries if entries.dtype == _ENTRY and entries.ndim == 1 else None
