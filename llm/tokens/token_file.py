"""Packed sequences unpacked once into files a trainer maps into memory.

Parquet is compressed and read in groups of rows; a trainer wants row i of a shuffled order at no
cost. So the parts of `pack.sequences` are written once as plain arrays, into a folder named after
their data id, and every later start maps them. Needs numpy and pyarrow alone.

The folder holds, for each split:

    <split>.tokens      (rows, sequence_length + 1) uint16, or uint32 above 65,536 tokens
    <split>.lengths     (rows,) int32: tokens of a row before its padding
    <split>.starts      (segments,) int32: where in its row each document segment starts
    <split>.bounds      (rows + 1,) int64: row i has the segments starts[bounds[i]:bounds[i + 1]]

all little endian and in C order, and header.json with the counts, the rows of each source where
rows are of one each, and the size and SHA-256 of each file.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError
from llm.sha256 import sha256_file
from llm.tables import SPLITS
from llm.tokens.unpacking import DTYPES, FORMAT, BadSequencesError, NoSpaceError, unpack

__all__ = ["BadSequencesError", "DamagedTokenFileError", "NoSpaceError", "TokenFile", "build"]


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
        sources: which train rows are of a source; none where a row may be of several.
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
    sources: Mapping[str, range]

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
        tokens, others = {}, {kind: {} for kind in DTYPES}  # type: dict[str, Any], dict[str, Any]
        for split in SPLITS:
            counts = header["splits"][split]
            path = folder / f"{split}.tokens"
            tokens[split] = _map(path, header["dtype"], (counts["rows"], columns))
            sizes = {
                "lengths": counts["rows"],
                "starts": counts["segments"],
                "bounds": counts["rows"] + 1,
            }
            for kind, dtype in DTYPES.items():
                others[kind][split] = _map(folder / f"{split}.{kind}", dtype, (sizes[kind],))
        return cls(
            folder=folder,
            data_id=header["data_id"],
            vocabulary_size=header["vocabulary_size"],
            sequence_length=header["sequence_length"],
            train=tokens["train"],
            validation=tokens["validation"],
            sources={
                name: range(first, first + rows)
                for name, (first, rows) in header["sources"].items()
            },
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
            segment list does not fit its row, rows of a source do not lie together, or a split
            is unknown.
        NoSpaceError: the disk has no room; nothing is left behind.
        OSError: no permission to write.
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
    with _folder_aside(place) as aside:
        unpack(parts, aside, data_id, vocabulary_size)
        try:
            aside.rename(place)
        except OSError:
            if not (place / "header.json").is_file():
                raise
            # Another process was faster; its files are equal to ours.
    return TokenFile.open(place)


@contextmanager
def _folder_aside(place: Path) -> Iterator[Path]:
    """An empty folder beside `place`, gone at the end; those of processes that were killed go too.

    Who lives has a lock on its folder, where the file system has locks for folders.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob("tokens-*.tmp"):
        with suppress(OSError), _open(left) as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
    fresh = Path(tempfile.mkdtemp(prefix=f"{place.name}.", suffix=".new", dir=place.parent))
    aside = fresh.with_suffix(".tmp")
    with _open(fresh) as held:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            fresh.rename(aside)  # locked before it has a name that others look for
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _open(folder: Path) -> Iterator[int]:
    opened = os.open(folder, os.O_RDONLY)
    try:
        yield opened
    finally:
        os.close(opened)


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
