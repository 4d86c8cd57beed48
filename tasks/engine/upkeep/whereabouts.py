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
_KIND, _URL = "parts", "url"
_TABLES = 64  # of which it is remembered
_ENTRY = np.dtype([("key", "<u8"), ("part", "<u4")])


def with_documents(
    data: Data,
    columns: Sequence[str],
    addresses: bool,
    beginning: str,
    said: Callable[[str], None],
) -> Sequence[File]:
    """Parts that may have a document whose id begins so, in order.

    Args:
        columns: that hold ids, or lists of them.
        addresses: whether it has a column `url`, remembered as well when all parts are read.
        said: hears of it when all parts have to be read.
    """
    start = beginning.encode()[:_BYTES]
    low, high = (int.from_bytes(start.ljust(_BYTES, filler), "big") for filler in (b"\0", b"\xff"))
    return _between(data, columns, addresses, "-".join(columns), low, high, said)


def with_address(
    data: Data, columns: Sequence[str], address: str, said: Callable[[str], None]
) -> Sequence[File]:
    """Parts of a table with the column `url` that may have a document of this address.

    Args:
        columns: that hold ids, which are remembered with the addresses when all parts are read.
    """
    key = _of_address(address)
    return _between(data, columns, True, _URL, key, key, said)


def _of_id(doc_id: str) -> int:
    """Of equal order with the ids."""
    return int.from_bytes(doc_id.encode()[:_BYTES].ljust(_BYTES, b"\0"), "big")


def _of_address(address: str) -> int:
    return int.from_bytes(blake2b(address.encode(), digest_size=_BYTES).digest(), "big")


def _between(
    data: Data,
    columns: Sequence[str],
    addresses: bool,
    name: str,
    low: int,
    high: int,
    said: Callable[[str], None],
) -> Sequence[File]:
    if len(data.parts) <= FEW:
        return data.parts
    folder = cache_folder() / "whereabouts"
    entries = _kept(folder / f"{_KIND}-{data.data_id}-{name}.npy")
    if entries is None:
        said(f"reading {len(data.parts):,} parts once; their documents are found at once from then")
        read = _read(data, columns, addresses)
        for each, found in read.items():
            content = io.BytesIO()
            np.save(content, found, allow_pickle=False)
            keep(folder, _KIND, f"{data.data_id}-{each}.npy", content.getbuffer(), _TABLES)
        entries = read[name]
    keys = entries["key"]
    first = np.searchsorted(keys, np.uint64(low), "left")
    end = np.searchsorted(keys, np.uint64(high), "right")
    return [data.parts[place] for place in np.unique(entries["part"][first:end]).tolist()]


def _read(data: Data, columns: Sequence[str], addresses: bool) -> dict[str, Any]:
    """By ids and, where the table has addresses, by those: (documents in parts,) of `_ENTRY`, by
    key. One reading for both, which is most of the time it takes."""
    orders: dict[str, tuple[Sequence[str], Callable[[str], int]]] = {
        "-".join(columns): (columns, _of_id)
    }
    if addresses:
        orders[_URL] = ([_URL], _of_address)
    found: dict[str, list[Any]] = {name: [] for name in orders}
    for place, table in enumerate(
        data.tables([name for each, _ in orders.values() for name in each])
    ):
        for name, (some, key_of) in orders.items():
            keys = {key_of(value) for column in some for value in _values(table.column(column))}
            entries = np.empty(len(keys), _ENTRY)
            entries["key"] = np.fromiter(keys, np.uint64, len(keys))
            entries["part"] = place
            found[name].append(entries)
    whole = {name: np.concatenate(each) for name, each in found.items()}
    return {name: each[np.argsort(each["key"], kind="stable")] for name, each in whole.items()}


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
