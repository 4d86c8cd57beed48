"""Rows that a shard keeps for a later `map` of the same run, so that nothing is read twice.

They are private to the attempt: of no output, named in no manifest, gone once it is published.
Until then they lie beside the outputs, a file a shard, and survive the end of the process as shards
do: a later attempt that adopts the shard takes them over too, if they are there, whole.

Such a file is written quickly rather than small. It is Arrow's own format, in which one batch of
many is found without reading on: where a shard read several files, a later one wants one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict

from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.identity.snapshot import Item
from tasks.engine.store.space import space_checked

FOLDER = "intermediate"  # in an attempt, and in what a job delivers
# Of real pages some 1.2 times their gzipped archive, in a quarter of the time that parts take.
_COMPRESSION = "lz4"
_BATCH_BYTES = 1 << 20  # rows wait until they are as many
_READ_BYTES = 1 << 18


def intermediate_path(shard: str) -> str:
    """Where the file of a shard lies, relative to the attempt."""
    return f"{FOLDER}/{shard}.arrow"


def contents_path(shard: str) -> str:
    """Where beside it stands what is in it; written when the file is in place."""
    return f"{FOLDER}/{shard}.json"


def quick_digest(path: Path) -> str:
    """Hex xxh3-128 of a local file's content."""
    state = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            state.update(block)
    return state.hexdigest()


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class FileRows(_Record):
    """Where the rows are that were kept of one file.

    Attributes:
        slices: in order, each the number of a batch, its first row, and how many.
    """

    name: str
    sha256: str
    slices: tuple[tuple[int, int, int], ...]


class Intermediate(_Record):
    """The file of one shard, and of which files it holds rows.

    Attributes:
        digest: hex xxh3-128: against accidents alone, and much faster than those of what is
            published.
    """

    bytes: int
    digest: str
    files: tuple[FileRows, ...]


@dataclass(frozen=True)
class StoredRows:
    """What was kept of one file: slices of a file of the store, see `FileRows`."""

    item: Item
    slices: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class KeptRows:
    """The same in a local file, of that digest."""

    path: Path
    digest: str
    slices: tuple[tuple[int, int, int], ...]

    def tables(self) -> Iterator[pa.Table]:
        """The rows that were kept, in order: memory is bounded by what was kept at once.

        Raises:
            DamagedArtifactError: the file has not the bytes that were written.
        """
        _check(self.path, self.digest)
        for number, first, rows in self.slices:
            batch = _batch(self.path, self.digest, number)
            yield pa.Table.from_batches([batch.slice(first, rows)])


@functools.lru_cache(maxsize=8)
def _check(path: Path, digest: str) -> None:
    """Once in a process, however many shards read of it: it is never written again."""
    if quick_digest(path) != digest:
        raise DamagedArtifactError(
            f"{path}: not the bytes that were written; `ingot run` reads again what was in it"
        )


@functools.lru_cache(maxsize=1)
def _batch(path: Path, digest: str, number: int) -> pa.RecordBatch:
    """Small files that follow each other are in one batch."""
    with pa.OSFile(str(path)) as stream:
        options = pa.ipc.IpcReadOptions(use_threads=False)
        return pa.ipc.open_file(stream, options=options).get_batch(number)


class IntermediateWriter:
    """Writes the file of one shard.

    Args:
        digests: name -> sha256 of each file the shard reads.
    """

    def __init__(self, path: Path, digests: dict[str, str]) -> None:
        self._path, self._digests = path, digests
        self._slices: dict[str, list[tuple[int, int, int]]] = {}
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._written = 0
        self._stream: pa.OSFile | None = None
        self._writer: pa.RecordBatchFileWriter | None = None

    def write(self, name: str, rows: pa.Table) -> None:
        """Keep some rows of a file.

        Raises:
            OutputError: the shard does not read that file.
        """
        if name not in self._digests:
            raise OutputError(f"rows are kept of {name!r}, which the shard does not read")
        slices = self._slices.setdefault(name, [])
        if not rows.num_rows:
            return
        slices.append((self._written, self._waiting_rows, rows.num_rows))
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes >= _BATCH_BYTES:
            self._write_batch()

    def _write_batch(self) -> None:
        table = pa.concat_tables(self._waiting).combine_chunks()
        with space_checked(self._path, table.nbytes):
            if self._writer is None:
                self._open(table.schema)
            assert self._writer is not None
            (batch,) = table.to_batches()
            self._writer.write_batch(batch)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        self._written += 1

    def _open(self, schema: pa.Schema) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = pa.OSFile(str(self._path), "wb")
        options = pa.ipc.IpcWriteOptions(compression=_COMPRESSION, use_threads=False)
        self._writer = pa.ipc.new_file(self._stream, schema, options=options)

    def close(self) -> Intermediate | None:
        """What was written; `None` where no row was."""
        if self._waiting:
            self._write_batch()
        if self._writer is None or self._stream is None:
            return None
        with space_checked(self._path):
            self._writer.close()
            self._stream.close()
        files = tuple(
            FileRows(name=name, sha256=self._digests[name], slices=tuple(slices))
            for name, slices in self._slices.items()
        )
        size, digest = self._path.stat().st_size, quick_digest(self._path)
        return Intermediate(bytes=size, digest=digest, files=files)
