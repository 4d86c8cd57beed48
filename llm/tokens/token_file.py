"""Packed sequences unpacked once into files a trainer maps into memory.

Parquet is compressed and read in groups of rows; a trainer wants row i of a shuffled order at no
cost. So the parts of `pack.sequences` are written once as plain arrays, into a folder named after
their data id, and every later start maps them. Needs numpy and pyarrow alone.

The folder holds, for each split:

    <split>.tokens      (rows, sequence_length + 1) uint16, or uint32 above 65,536 tokens
    <split>.lengths     (rows,) int32: tokens of a row before its padding
    <split>.starts      (segments,) int32: where in its row each document segment starts
    <split>.bounds      (rows + 1,) int64: row i has the segments starts[bounds[i]:bounds[i + 1]]

all little endian and in C order, and header.json with the counts, and the size and SHA-256 of
each file.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from llm.errors import ExpectedError
from llm.sha256 import sha256_file
from llm.tables import SPLITS

FORMAT = 1
_KINDS = {"lengths": "<i4", "starts": "<i4", "bounds": "<i8"}
_COLUMNS = ["split", "tokens", "doc_lengths"]


class BadSequencesError(ExpectedError, ValueError):
    """The parts are no packed sequences for this vocabulary; names part and row."""


class DamagedTokenFileError(ExpectedError, OSError):
    """A token file is missing, cut short or altered; removing its folder rebuilds it."""


@dataclass(frozen=True)
class TokenFile:
    """Packed sequences, mapped into memory and read-only.

    Attributes:
        folder: where the files lie.
        data_id: of the `pack.sequences` they were made from.
        vocabulary_size: every token is below it.
        sequence_length: T; a row holds T + 1 tokens, the inputs row[:T] and the targets row[1:].
        train, validation: (rows, T + 1) uint16 or uint32. Cast to int64 before an embedding.
        lengths: by split, int32 (rows,): unpadded tokens of each row; padding is at its end.
        starts, bounds: by split, int32 (segments,) and int64 (rows + 1,): see `segment_ids`.
    """

    folder: Path
    data_id: str
    vocabulary_size: int
    sequence_length: int
    train: NDArray[np.unsignedinteger[Any]]
    validation: NDArray[np.unsignedinteger[Any]]
    lengths: Mapping[str, NDArray[np.int32]]
    starts: Mapping[str, NDArray[np.int32]]
    bounds: Mapping[str, NDArray[np.int64]]

    @classmethod
    def open(cls, folder: Path, deep: bool = False) -> TokenFile:
        """Map the files of a folder that `build` made.

        Args:
            deep: hash every file instead of looking at its size alone.

        Raises:
            DamagedTokenFileError: there is no header, or a file is not what it says.
        """
        header = _header(folder)
        _verify(folder, header, deep)
        columns = int(header["sequence_length"]) + 1
        tokens, others = {}, {kind: {} for kind in _KINDS}  # type: dict[str, Any], dict[str, Any]
        for split in SPLITS:
            counts = header["splits"][split]
            path = folder / f"{split}.tokens"
            tokens[split] = _map(path, header["dtype"], (counts["rows"], columns))
            sizes = {
                "lengths": counts["rows"],
                "starts": counts["segments"],
                "bounds": counts["rows"] + 1,
            }
            for kind, dtype in _KINDS.items():
                others[kind][split] = _map(folder / f"{split}.{kind}", dtype, (sizes[kind],))
        return cls(
            folder=folder,
            data_id=header["data_id"],
            vocabulary_size=header["vocabulary_size"],
            sequence_length=header["sequence_length"],
            train=tokens["train"],
            validation=tokens["validation"],
            **others,
        )

    def segment_ids(self, split: str, rows: Sequence[int] | NDArray[Any]) -> NDArray[np.int32]:
        """int32 (len(rows), T + 1): the number of the segment each token lies in, from 0.

        Padding has -1. Two tokens may attend to each other where the numbers are equal.
        """
        starts, bounds, lengths = self.starts[split], self.bounds[split], self.lengths[split]
        found = np.full((len(rows), self.sequence_length + 1), -1, dtype=np.int32)
        for place, row in enumerate(np.asarray(rows).tolist()):
            length = int(lengths[row])
            begins = np.zeros(length, dtype=np.int32)
            begins[starts[bounds[row] : bounds[row + 1]]] = 1
            found[place, :length] = np.cumsum(begins) - 1
        return found


def build(parts: list[Path], folder: Path, data_id: str, vocabulary_size: int) -> TokenFile:
    """The token file of these sequences, written if there is none yet.

    It lies in a folder of its own below `folder`, named after the data id. The folder is written
    aside and renamed into place, so several processes may call this at once: the first to
    finish wins and all map the same files.

    Args:
        parts: the Parquet parts of `pack.sequences`, in order; rows keep that order by split.
        folder: of scratch files; made if missing.
        data_id: of the sequences; another one gives another folder.
        vocabulary_size: of the tokenizer; decides between uint16 and uint32.

    Raises:
        BadSequencesError: a token is not below `vocabulary_size`, rows differ in length, a
            segment list does not fit its row, or a split is unknown.
        OSError: no space, or no permission to write.
    """
    place = folder / f"tokens-{data_id[:16]}-{vocabulary_size}"
    if (place / "header.json").is_file():
        try:
            found = TokenFile.open(place)
        except DamagedTokenFileError:
            shutil.rmtree(place)
        else:
            if found.data_id == data_id:
                return found
            shutil.rmtree(place)
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{place.name}.", suffix=".tmp", dir=folder))
    try:
        _write(parts, aside, data_id, vocabulary_size)
        try:
            aside.rename(place)
        except OSError:
            if not (place / "header.json").is_file():
                raise
            # Another process was faster; its files are equal to ours.
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return TokenFile.open(place)


@dataclass
class _Split:
    """The files of one split while they are written."""

    tokens: BinaryIO
    rows: int = 0
    lengths: list[NDArray[np.int32]] = field(default_factory=list)
    starts: list[NDArray[np.int32]] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)


def _write(parts: list[Path], folder: Path, data_id: str, vocabulary_size: int) -> None:
    dtype = "<u2" if vocabulary_size <= 1 << 16 else "<u4"
    splits = {name: _Split((folder / f"{name}.tokens").open("wb")) for name in SPLITS}
    columns = 0
    try:
        for path in parts:
            with pq.ParquetFile(path) as source:
                for group in range(source.num_row_groups):
                    table = source.read_row_group(group, columns=_COLUMNS)
                    where = f"{path.name}, row group {group}"
                    columns = _add(table, splits, columns, vocabulary_size, dtype, where)
    finally:
        for split in splits.values():
            split.tokens.close()
    if columns < 2:
        raise BadSequencesError("the parts hold no sequences; nothing can be trained on them")
    header: dict[str, Any] = {
        "format": FORMAT,
        "data_id": data_id,
        "vocabulary_size": vocabulary_size,
        "sequence_length": columns - 1,
        "dtype": dtype,
        "splits": {},
        "files": {},
    }
    for name, split in splits.items():
        counts = np.concatenate([np.zeros(1, np.int64), *split.counts])
        arrays = {
            "lengths": np.concatenate([np.empty(0, np.int32), *split.lengths]),
            "starts": np.concatenate([np.empty(0, np.int32), *split.starts]),
            "bounds": np.cumsum(counts),
        }
        for kind, values in arrays.items():
            values.astype(_KINDS[kind]).tofile(folder / f"{name}.{kind}")
        header["splits"][name] = {"rows": split.rows, "segments": len(arrays["starts"])}
    for path in sorted(folder.iterdir()):
        _to_disk(path)  # a header over data that a power cut took would be trusted
        header["files"][path.name] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    (folder / "header.json").write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")
    _to_disk(folder / "header.json")


def _add(
    table: pa.Table,
    splits: Mapping[str, _Split],
    columns: int,
    vocabulary_size: int,
    dtype: str,
    where: str,
) -> int:
    """Append the rows of a table; returns tokens a row."""
    unknown = set(table.column("split").unique().to_pylist()) - set(SPLITS)
    if unknown:
        raise BadSequencesError(f"{where}: split {sorted(unknown)[0]!r} is none of {SPLITS}")
    for name, split in splits.items():
        rows = table.filter(pc.equal(table.column("split"), name))
        if not rows.num_rows:
            continue
        tokens, lengths = rows.column("tokens"), rows.column("doc_lengths")
        sizes = pc.list_value_length(tokens).to_numpy()
        columns = columns or int(sizes[0])
        if (sizes != columns).any():
            row = int(np.flatnonzero(sizes != columns)[0])
            raise BadSequencesError(
                f"{where}: {name} row {row} has {sizes[row]} tokens, others have {columns}; "
                "build the pack stage again"
            )
        values = pc.list_flatten(tokens).to_numpy()
        if values.min() < 0 or values.max() >= vocabulary_size:
            row = int(np.flatnonzero((values < 0) | (values >= vocabulary_size))[0]) // columns
            raise BadSequencesError(
                f"{where}: {name} row {row} holds a token outside a vocabulary of "
                f"{vocabulary_size}; the sequences were packed with another tokenizer"
            )
        counts = pc.list_value_length(lengths).to_numpy().astype(np.int64)
        segments = pc.list_flatten(lengths).to_numpy().astype(np.int64)
        row_of = np.repeat(np.arange(rows.num_rows), counts)
        filled = np.bincount(row_of, weights=segments, minlength=rows.num_rows).astype(np.int64)
        if (filled > columns).any() or (filled < 1).any():
            row = int(np.flatnonzero((filled > columns) | (filled < 1))[0])
            raise BadSequencesError(f"{where}: {name} row {row} has segments of {filled[row]}")
        starts = np.cumsum(segments) - segments
        starts -= (np.cumsum(filled) - filled)[row_of]
        split.tokens.write(np.ascontiguousarray(values, dtype=dtype).data)
        split.rows += rows.num_rows
        split.lengths.append(filled.astype(np.int32))
        split.starts.append(starts.astype(np.int32))
        split.counts.append(counts)
    return columns


def _header(folder: Path) -> dict[str, Any]:
    path = folder / "header.json"
    try:
        header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedTokenFileError(f"{path}: no readable header; remove {folder}") from error
    if header.get("format") != FORMAT:
        raise DamagedTokenFileError(
            f"{path}: format {header.get('format')}, this version reads {FORMAT}; remove {folder}"
        )
    return header


def _verify(folder: Path, header: Mapping[str, Any], deep: bool) -> None:
    for name, expected in header["files"].items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else -1
        if size != expected["bytes"] or (deep and sha256_file(path) != expected["sha256"]):
            raise DamagedTokenFileError(
                f"{path}: missing, cut short or altered; remove {folder} and run again"
            )


def _map(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:  # an empty file cannot be mapped
        return np.empty(shape, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def _to_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
