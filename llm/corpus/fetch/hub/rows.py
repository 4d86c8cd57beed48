"""Some rows and columns of a file of rows, under names of one's own."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from llm.corpus.fetch.entries import Entry, NotFetchedError

_BATCH = 16_384  # rows


@dataclass(frozen=True, slots=True)
class Shape:
    """What is kept of a file.

    Attributes:
        columns: new name -> name in the file; empty = all, as they are called.
        row_share: of the rows, in (0, 1].
        seed: of the choice of rows.
    """

    columns: Mapping[str, str]
    row_share: float
    seed: int

    @property
    def keeps_all(self) -> bool:
        """Whether a file stays what it is."""
        return not self.columns and self.row_share >= 1.0


def chosen(shape: Shape, location: str, start: int, count: int) -> npt.NDArray[np.bool_]:
    """Which rows of a file are kept, (count,): each by itself, by the seed, the file's location and
    its number, so that none depends on what else there is.

    Hashes are those of SplitMix64 (Steele, Lea, Flood 2014).

    Args:
        start: number of the first row.
    """
    if shape.row_share >= 1.0:
        return np.ones(count, np.bool_)
    key = hashlib.sha256(f"{shape.seed}\0{location}".encode()).digest()[:8]
    with np.errstate(over="ignore"):
        state = np.uint64(int.from_bytes(key, "little")) + (
            np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state < np.uint64(int(shape.row_share * 2**64))


def reshape(shape: Shape, entry: Entry, path: Path) -> tuple[int, int]:
    """Rewrite a file in place; how many rows it had, and has.

    Raises:
        NotFetchedError: it is neither Parquet nor JSON lines, damaged, or lacks a column.
    """
    name = entry.file.lower()
    target = path.with_name("reshaped")
    if name.endswith(".parquet"):
        counts = _reshape_parquet(shape, entry, path, target)
    elif name.removesuffix(".gz").removesuffix(".zst").endswith((".jsonl", ".ndjson", ".json")):
        counts = _reshape_lines(shape, entry, path, target)
    else:
        raise NotFetchedError(
            "unknown_kind", "columns and rows are chosen of .parquet and .jsonl files alone"
        )
    target.replace(path)
    return counts


def _reshape_parquet(shape: Shape, entry: Entry, path: Path, target: Path) -> tuple[int, int]:
    had = kept = 0
    try:
        with pq.ParquetFile(path) as file, ExitStack() as stack:
            names = shape.columns or {name: name for name in file.schema_arrow.names}
            missing = sorted(set(names.values()) - set(file.schema_arrow.names))
            if missing:
                raise _lacks(missing, file.schema_arrow.names)
            schema = pa.schema(
                [file.schema_arrow.field(old).with_name(new) for new, old in names.items()]
            )
            writer = stack.enter_context(pq.ParquetWriter(target, schema, compression="zstd"))
            for batch in file.iter_batches(_BATCH, columns=list(dict.fromkeys(names.values()))):
                mask = pa.array(chosen(shape, entry.location, had, batch.num_rows))
                columns = [batch.column(old).filter(mask) for old in names.values()]
                rows = pa.record_batch(columns, schema=schema)
                had, kept = had + batch.num_rows, kept + rows.num_rows
                writer.write_batch(rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise NotFetchedError("not_parquet", f"it cannot be read as Parquet: {error}") from error
    return had, kept


def _reshape_lines(shape: Shape, entry: Entry, path: Path, target: Path) -> tuple[int, int]:
    had = kept = 0
    with ExitStack() as stack:
        source, out = _streams(path, target, entry.file.lower(), stack)
        try:
            for lines in _batches(source):
                mask = chosen(shape, entry.location, had, len(lines))
                had += len(lines)
                for line in (line for line, keep in zip(lines, mask, strict=True) if keep):
                    out.write(_renamed(line, shape.columns))
                    kept += 1
        except (OSError, EOFError, zstandard.ZstdError, ValueError) as error:
            raise NotFetchedError("bad_rows", f"row {had}: {error}") from error
    return had, kept


def _batches(stream: IO[bytes]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    for line in stream:
        if line.strip():
            lines.append(line)
        if len(lines) == _BATCH:
            yield lines
            lines = []
    yield lines


def _renamed(line: bytes, columns: Mapping[str, str]) -> bytes:
    if not columns:
        return line if line.endswith(b"\n") else line + b"\n"
    row: dict[str, Any] = json.loads(line)
    missing = sorted(set(columns.values()) - set(row))
    if missing:
        raise _lacks(missing, list(row))
    kept = {new: row[old] for new, old in columns.items()}
    return json.dumps(kept, ensure_ascii=False).encode() + b"\n"


def _lacks(missing: list[str], there: list[str]) -> NotFetchedError:
    return NotFetchedError(
        "missing_column",
        f"it has no column {', '.join(missing)}, but {', '.join(map(str, there[:20]))}",
    )


def _streams(path: Path, target: Path, name: str, stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Both files, open, packed as the name says."""
    plain, out = stack.enter_context(path.open("rb")), stack.enter_context(target.open("wb"))
    if name.endswith(".gz"):
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0)
        stack.enter_context(packed)
        return cast("IO[bytes]", gzip.GzipFile(fileobj=plain)), cast("IO[bytes]", packed)
    if name.endswith(".zst"):
        reader = zstandard.ZstdDecompressor().stream_reader(plain, read_across_frames=True)
        writer = stack.enter_context(zstandard.ZstdCompressor().stream_writer(out, closefd=False))
        return cast("IO[bytes]", io.BufferedReader(reader)), cast("IO[bytes]", writer)
    return plain, out
