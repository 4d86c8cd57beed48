"""Packed sequences out of Parquet into the files of `token_file`, in memory that their number does
not change.

Row groups are decoded by threads, a few ahead, checked, and written in order; what is written is
hashed beside, and sent to the disk while the next groups are decoded. Needs numpy and pyarrow
alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from llm.errors import ExpectedError
from llm.tables import SPLITS, TRAIN

FORMAT = 2
DTYPES = {"lengths": "<i4", "starts": "<i4", "bounds": "<i8"}  # those of tokens depend
_THREADS = 8
_AHEAD = 32 << 20  # tokens that are decoded or wait to be written, unless one group has more
_SYNC = 64 << 20  # bytes between two times that a file is sent to the disk


class BadSequencesError(ExpectedError, ValueError):
    """The parts are no packed sequences for this vocabulary; names part and row."""


class NoSpaceError(ExpectedError, OSError):
    """The disk has no room for the token files."""


@dataclass(frozen=True)
class _Rows:
    """Rows behind one another of one split and source, checked.

    Attributes:
        where: part and row group, for messages.
        source: None where the parts do not say.
        tokens: (rows, T + 1) of the type that is written.
        lengths: int32 (rows,): unpadded tokens.
        starts: int32 (segments,): where in its row each starts.
        counts: int64 (rows,): segments of each row.
    """

    where: str
    split: str
    source: str | None
    tokens: NDArray[Any]
    lengths: NDArray[np.int32]
    starts: NDArray[np.int32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class _Group:
    """A row group.

    Attributes:
        tokens: how many it holds.
    """

    path: Path
    number: int
    tokens: int


def unpack(parts: Sequence[Path], folder: Path, data_id: str, vocabulary_size: int) -> None:
    """Write the files of all parts into a folder, header.json last.

    Raises:
        BadSequencesError: see `token_file.build`.
        NoSpaceError: the disk is full, or would be.
    """
    dtype = "<u2" if vocabulary_size <= 1 << 16 else "<u4"
    groups = [group for path in parts for group in _groups(path)]
    needed = sum(group.tokens for group in groups) * np.dtype(dtype).itemsize
    try:
        if needed > shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, "too little room")
        header = {"format": FORMAT, "data_id": data_id, "vocabulary_size": vocabulary_size}
        header |= {"dtype": dtype} | _write(groups, folder, vocabulary_size, dtype)
        with (folder / "header.json").open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(header, indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(folder).free
        raise NoSpaceError(
            f"No space left for the tokens in {folder.parent}: {needed / 1e6:,.1f} MB needed, "
            f"{free / 1e6:,.1f} MB free. Nothing of them was kept"
        ) from error


def _groups(path: Path) -> Iterator[_Group]:
    with pq.ParquetFile(path) as source:
        metadata = source.metadata
        names = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
        column = next((at for at, name in enumerate(names) if name.startswith("tokens.")), None)
        if column is None:
            raise BadSequencesError(f"{path.name}: there is no column `tokens`")
        for number in range(metadata.num_row_groups):
            yield _Group(path, number, metadata.row_group(number).column(column).num_values)


def _write(
    groups: Sequence[_Group], folder: Path, vocabulary_size: int, dtype: str
) -> dict[str, Any]:
    """The files; returns what of the header they decide."""
    columns = 0
    rows, segments = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0)
    sources: dict[str, list[int]] = {}  # first row and number of rows
    with ExitStack() as stack:
        beside = stack.enter_context(ThreadPoolExecutor(2))
        names = [f"{split}.{kind}" for split in SPLITS for kind in ("tokens", *DTYPES)]
        files = {
            name: stack.enter_context(_File((folder / name).open("wb"), beside)) for name in names
        }
        for split in SPLITS:
            files[f"{split}.bounds"].write(np.zeros(1, DTYPES["bounds"]))
        for found in _decoded(groups, vocabulary_size, dtype):
            split, count = found.split, len(found.tokens)
            columns = columns or found.tokens.shape[1]
            if found.tokens.shape[1] != columns:
                raise BadSequencesError(
                    f"{found.where}: rows have {found.tokens.shape[1]} tokens, others have "
                    f"{columns}; build the pack stage again"
                )
            if found.source is not None and split == TRAIN:
                span = sources.setdefault(found.source, [rows[split], 0])
                if sum(span) != rows[split]:
                    raise BadSequencesError(
                        f"{found.where}: rows of source {found.source!r} do not lie together; "
                        "build the pack stage again"
                    )
                span[1] += count
            files[f"{split}.tokens"].write(found.tokens)
            files[f"{split}.lengths"].write(found.lengths.astype(DTYPES["lengths"]))
            files[f"{split}.starts"].write(found.starts.astype(DTYPES["starts"]))
            bounds = segments[split] + np.cumsum(found.counts)
            files[f"{split}.bounds"].write(bounds.astype(DTYPES["bounds"]))
            rows[split] += count
            segments[split] += len(found.starts)
        if columns < 2:
            raise BadSequencesError("the parts hold no sequences; nothing can be trained on them")
        # A header over data that a power cut took would be trusted.
        written = {name: file.finish() for name, file in files.items()}
    return {
        "sequence_length": columns - 1,
        "splits": {name: {"rows": rows[name], "segments": segments[name]} for name in SPLITS},
        "sources": sources,
        "files": written,
    }


class _File:
    """A file that is written, hashed meanwhile, and sent to the disk now and then.

    Args:
        beside: threads for the latter two.
    """

    def __init__(self, stream: BinaryIO, beside: ThreadPoolExecutor) -> None:
        self._stream, self._beside = stream, beside
        self._digest = hashlib.sha256()
        self._bytes = self._synced = 0
        self._hashing: Future[None] | None = None
        self._syncing: Future[None] | None = None

    def write(self, values: NDArray[Any]) -> None:
        """Append an array's bytes.

        Raises:
            OSError: no space; also where that shows when what went before is sent to the disk.
        """
        if not values.size:
            return
        data = np.ascontiguousarray(values).data.cast("B")
        if self._hashing:
            self._hashing.result()
        self._hashing = self._beside.submit(self._digest.update, data)
        self._stream.write(data)
        self._bytes += len(data)
        if self._bytes - self._synced >= _SYNC and (not self._syncing or self._syncing.done()):
            if self._syncing:
                self._syncing.result()
            self._synced = self._bytes
            self._syncing = self._beside.submit(os.fsync, self._stream.fileno())

    def finish(self) -> dict[str, Any]:
        """Its size and SHA-256, once all of it is on the disk."""
        self._stream.flush()
        for last in (self._hashing, self._syncing):
            if last:
                last.result()
        os.fsync(self._stream.fileno())
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        for last in (self._hashing, self._syncing):
            if last:
                wait([last])
        # After an error it will be removed: what it still holds back may not fit on the disk.
        with suppress(OSError):
            self._stream.close()


def _decoded(groups: Sequence[_Group], vocabulary_size: int, dtype: str) -> Iterator[_Rows]:
    """The rows of all groups in order, decoded some groups ahead."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(_THREADS, here or 1)
    waiting: deque[tuple[_Group, Future[list[_Rows]]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for group in groups:
            ahead = group.tokens + sum(each.tokens for each, _ in waiting)
            while waiting and (ahead > _AHEAD or len(waiting) > threads):
                done, future = waiting.popleft()
                yield from future.result()
                ahead -= done.tokens
            waiting.append((group, pool.submit(_decode, group, vocabulary_size, dtype)))
        while waiting:
            yield from waiting.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(group: _Group, vocabulary_size: int, dtype: str) -> list[_Rows]:
    """The rows of a group, checked, in runs of one split and source."""
    with pq.ParquetFile(group.path) as file:
        named = "source" in file.schema_arrow.names
        columns = ["split", "tokens", "doc_lengths", *(["source"] if named else [])]
        table = file.read_row_group(group.number, columns=columns, use_threads=False)
    where = f"{group.path.name}, row group {group.number}"
    splits = table.column("split").to_pylist()
    unknown = sorted({str(split) for split in splits} - set(SPLITS))
    if unknown:
        raise BadSequencesError(f"{where}: split {unknown[0]!r} is none of {SPLITS}")
    nobody: list[str | None] = [None] * len(splits)
    sources = [name or "" for name in table.column("source").to_pylist()] if named else nobody
    found, start = [], 0
    for (split, source), run in groupby(zip(splits, sources, strict=True)):
        rows = table.slice(start, len(list(run)))
        tokens = _tokens(rows.column("tokens"), where, start, vocabulary_size, dtype)
        segments = _segments(rows.column("doc_lengths"), tokens.shape[1], where, start)
        found.append(_Rows(where, split, source, tokens, *segments))
        start += rows.num_rows
    return found


def _tokens(
    column: pa.ChunkedArray, where: str, first: int, vocabulary_size: int, dtype: str
) -> NDArray[Any]:
    """(rows, T + 1), of the type that is written."""
    lists = _one_chunk(column)
    sizes = _sizes(lists)
    flat = lists.flatten()
    if lists.null_count or flat.null_count:
        raise BadSequencesError(f"{where}: a row, or a token of one, is null")
    if (sizes != sizes[0]).any():
        row = int(np.flatnonzero(sizes != sizes[0])[0])
        raise BadSequencesError(
            f"{where}: row {first + row} has {sizes[row]} tokens, others have {sizes[0]}; "
            "build the pack stage again"
        )
    values = _values(flat)
    unsigned = values.view(np.uint32)  # of which those below zero are the largest
    if unsigned.size and unsigned.max() >= vocabulary_size:
        row = first + int(np.flatnonzero(unsigned >= vocabulary_size)[0]) // int(sizes[0])
        raise BadSequencesError(
            f"{where}: row {row} holds a token outside a vocabulary of {vocabulary_size}; "
            "the sequences were packed with another tokenizer"
        )
    typed: NDArray[Any] = unsigned.astype(dtype, copy=False)
    return typed.reshape(len(sizes), int(sizes[0]))


def _one_chunk(column: pa.ChunkedArray) -> pa.ListArray:
    """The column as one array; combining a single chunk would copy it."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _sizes(lists: pa.ListArray) -> NDArray[np.int32]:
    """How many values each list has."""
    sizes: NDArray[np.int32] = np.diff(_values(lists.offsets))
    return sizes


def _values(array: pa.Array) -> NDArray[Any]:
    """The array's memory. `to_numpy` would load pandas first, where that is installed: a third of a
    second, and tens of megabytes."""
    return np.from_dlpack(array)


def _segments(
    column: pa.ChunkedArray, columns: int, where: str, first: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Lengths, starts and counts of `_Rows`."""
    lists = _one_chunk(column)
    counts = _sizes(lists).astype(np.int64)
    sizes = _values(lists.flatten()).astype(np.int64)
    row_of = np.repeat(np.arange(len(counts)), counts)
    filled = np.bincount(row_of, weights=sizes, minlength=len(counts)).astype(np.int64)
    wrong = np.flatnonzero((filled > columns) | (filled < 1))
    if wrong.size:
        row = int(wrong[0])
        raise BadSequencesError(f"{where}: row {first + row} has segments of {filled[row]}")
    starts = np.cumsum(sizes) - sizes
    starts -= (np.cumsum(filled) - filled)[row_of]
    return filled.astype(np.int32), starts.astype(np.int32), counts
