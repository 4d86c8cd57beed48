"""Long lists of a manifest, each in a file of its own beside it.

A stage of 100,000 shards has as many files, and a plan asks of them no more than whether they are
there: so the manifest has what they come to, and the SHA-256 of a table of them. That table is
written before the manifest, and is believed only while it has the digest the manifest names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from llm.arrow_without_pandas import block_pandas
from tasks.engine.errors import DamagedArtifactError
from tasks.engine.store.manifest import (
    COMPRESSION,
    COMPRESSION_LEVEL,
    ExternalItem,
    ExternalRecord,
    File,
    Listing,
    OutputRecord,
)
from tasks.engine.store.store import Store

FOLDER = "listings"
LONG = 1_000  # entries; shorter lists are in the manifest

FILES = pa.schema(
    [("path", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64()), ("sha256", pa.string())]
)
ITEMS = pa.schema([("name", pa.string()), ("size", pa.int64()), ("sha256", pa.string())])

_Entry = TypeVar("_Entry", File, ExternalItem)

block_pandas()


def output_record(
    store: Store, folder: str, data_id: str, columns: list[str] | None, files: Sequence[File]
) -> OutputRecord:
    """The record of an output; a long list of files is put beside the manifest.

    Args:
        folder: of the attempt, relative to the store.
    """
    if len(files) < LONG:
        return OutputRecord(data_id=data_id, columns=columns, files=list(files))
    listing = _write(store, folder, FILES, files).model_copy(
        update={
            "rows": sum(file.rows or 0 for file in files),
            "total_bytes": sum(file.bytes for file in files),
        }
    )
    return OutputRecord(data_id=data_id, columns=columns, files=None, listing=listing)


def external_record(
    store: Store, folder: str, data_id: str, items: Iterable[ExternalItem]
) -> ExternalRecord:
    """The same of what was read from outside the store."""
    listed = list(items)
    if len(listed) < LONG:
        return ExternalRecord(data_id=data_id, items=listed)
    listing = _write(store, folder, ITEMS, listed).model_copy(
        update={"total_bytes": sum(item.size for item in listed)}
    )
    return ExternalRecord(data_id=data_id, items=None, listing=listing)


def files_of(store: Store, folder: str, record: OutputRecord) -> list[File]:
    """All files of an output.

    Raises:
        DamagedArtifactError: the list of them is missing, or not what was published.
    """
    if record.files is not None:
        return record.files
    return _entries(store, folder, record.listing, FILES, File.model_construct)


def items_of(store: Store, folder: str, record: ExternalRecord) -> list[ExternalItem]:
    """All items of an external input.

    Raises:
        DamagedArtifactError: the list of them is missing, or not what was published.
    """
    if record.items is not None:
        return record.items
    return _entries(store, folder, record.listing, ITEMS, ExternalItem.model_construct)


def file_sizes(store: Store, folder: str, record: OutputRecord) -> dict[str, int]:
    """Bytes of each file of an output, by path.

    Raises:
        DamagedArtifactError: the list of them is missing, or not what was published.
    """
    if record.files is not None:
        return {file.path: file.bytes for file in record.files}
    table = _read(store, folder, record.listing, ["path", "bytes"])
    return dict(zip(table["path"].to_pylist(), table["bytes"].to_pylist(), strict=True))


def listing_path(listing: Listing) -> str:
    """Relative to the attempt."""
    return f"{FOLDER}/{listing.sha256[:16]}.parquet"


def is_listing_whole(store: Store, folder: str, listing: Listing) -> bool:
    """Whether the table is there, with the bytes that were published."""
    try:
        return _content(store, folder, listing) is not None
    except DamagedArtifactError:
        return False


def _write(store: Store, folder: str, schema: pa.Schema, entries: Sequence[Any]) -> Listing:
    columns = [pa.array([getattr(e, f.name) for e in entries], f.type) for f in schema]
    written = pa.BufferOutputStream()
    pq.write_table(
        pa.table(columns, schema=schema),
        written,
        compression=COMPRESSION,
        compression_level=COMPRESSION_LEVEL,
    )
    content = written.getvalue().to_pybytes()
    listing = Listing(
        sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), count=len(entries)
    )
    store.replace(f"{folder}/{listing_path(listing)}", content)
    return listing


def _content(store: Store, folder: str, listing: Listing) -> bytes:
    path = f"{folder}/{listing_path(listing)}"
    try:
        content = store.read(path)
    except OSError as error:
        raise _damaged(store, path, f"cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(content).hexdigest() != listing.sha256:
        raise _damaged(store, path, "not the bytes that were published")
    return content


def _damaged(store: Store, path: str, why: str) -> DamagedArtifactError:
    return DamagedArtifactError(
        f"{store.full(path)}: {why}; it lists the files of an artifact, which `ingot run` builds "
        "again from those of its shards that are whole"
    )


def _read(store: Store, folder: str, listing: Listing | None, columns: list[str]) -> pa.Table:
    assert listing is not None  # a record has one or the other
    content = _content(store, folder, listing)
    with pq.ParquetFile(pa.BufferReader(content)) as opened:
        return opened.read(columns=columns)


def _entries(
    store: Store,
    folder: str,
    listing: Listing | None,
    schema: pa.Schema,
    make: Callable[..., _Entry],
) -> list[_Entry]:
    table = _read(store, folder, listing, schema.names)
    rows = zip(*(table[name].to_pylist() for name in schema.names), strict=True)
    # Not validated again: they were when they were written, and have those bytes.
    return [make(**dict(zip(schema.names, row, strict=True))) for row in rows]
