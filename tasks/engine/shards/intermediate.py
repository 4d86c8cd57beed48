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
from pydantic import BaseModel, ConfigDict

from llm.sha256 import sha256_file
from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.identity.snapshot import Item
from tasks.engine.store.space import space_checked

FOLDER = "intermediate"  # in an attempt, and in what a job delivers
_COMPRESSION, _COMPRESSION_LEVEL = "zstd", 1  # a fifth larger than parts, in a third of the time


def intermediate_path(shard: str) -> str:
    """Where the file of a shard lies, relative to the attempt."""
    return f"{FOLDER}/{shard}.arrow"


def contents_path(shard: str) -> str:
    """Where beside it stands what is in it; written when the file is in place."""
    return f"{FOLDER}/{shard}.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRows(_Record):
    """Which batches hold what was read of one file."""

    name: str
    sha256: str
    batches: tuple[int, ...]


class Intermediate(_Record):
    """The file of one shard, and of which files it holds rows."""

    bytes: int
    sha256: str
    files: tuple[FileRows, ...]


@dataclass(frozen=True)
class StoredRows:
    """What was kept of one file: batches of a file of the store."""

    item: Item
    batches: tuple[int, ...]


@dataclass(frozen=True)
class KeptRows:
    """The same in a local file, of that digest."""

    path: Path
    sha256: str
    batches: tuple[int, ...]

    def tables(self) -> Iterator[pa.Table]:
        """The tables that were kept, in order: memory is bounded by one.

        Raises:
            DamagedArtifactError: the file has not the bytes that were written.
        """
        if _digest(self.path) != self.sha256:
            raise DamagedArtifactError(
                f"{self.path}: not the bytes that were written; `ingot run` goes on without it"
            )
        with pa.OSFile(str(self.path)) as stream:
            options = pa.ipc.IpcReadOptions(use_threads=False)
            source = pa.ipc.open_file(stream, options=options)
            for number in self.batches:
                yield pa.Table.from_batches([source.get_batch(number)])


@functools.lru_cache(maxsize=8)
def _digest(path: Path) -> str:
    """Computed once in a process, however many shards read of it: it is never written again."""
    return sha256_file(path)


class IntermediateWriter:
    """Writes the file of one shard.

    Args:
        digests: name -> sha256 of each file the shard reads.
    """

    def __init__(self, path: Path, digests: dict[str, str]) -> None:
        self._path, self._digests = path, digests
        self._batches: dict[str, list[int]] = {}
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
        batches = self._batches.setdefault(name, [])
        with space_checked(self._path, rows.nbytes):
            if self._writer is None:
                self._open(rows.schema)
            assert self._writer is not None
            for batch in rows.combine_chunks().to_batches():
                self._writer.write_batch(batch)
                batches.append(self._written)
                self._written += 1

    def _open(self, schema: pa.Schema) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = pa.OSFile(str(self._path), "wb")
        codec = pa.Codec(_COMPRESSION, compression_level=_COMPRESSION_LEVEL)
        options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
        self._writer = pa.ipc.new_file(self._stream, schema, options=options)

    def close(self) -> Intermediate | None:
        """What was written; `None` where no row was."""
        if self._writer is None or self._stream is None:
            return None
        with space_checked(self._path):
            self._writer.close()
            self._stream.close()
        files = tuple(
            FileRows(name=name, sha256=self._digests[name], batches=tuple(batches))
            for name, batches in self._batches.items()
        )
        size, digest = self._path.stat().st_size, sha256_file(self._path)
        return Intermediate(bytes=size, sha256=digest, files=files)
