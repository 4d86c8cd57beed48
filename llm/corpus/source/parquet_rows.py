"""Rows of a Parquet file, also where some of its row groups are damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.source.arrow_rows import python_rows

_ROWS = 256


@dataclass(frozen=True, slots=True)
class LostRows:
    """Rows, numbered from 1, that cannot be read, and why."""

    first: int
    last: int
    group: int
    cause: str


def open_parquet(stream: BinaryIO) -> pq.ParquetFile:
    """A Parquet file whose pages are checked as they are read. From a stream: Arrow takes no path
    that is not UTF-8.

    Raises:
        pa.ArrowException, OSError, UnicodeDecodeError: it is none, or its end is damaged.
    """
    file = pq.ParquetFile(stream, page_checksum_verification=True)
    file.schema_arrow  # noqa: B018 - where it has names that are not UTF-8, they are found here
    return file


def rows_and_losses(
    file: pq.ParquetFile, columns: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, Any]] | LostRows]:
    """(number from 1, the row as `python_rows` gives it) in order. A row group that is damaged is
    read as far as it goes, then what is lost of it is told; reading goes on with the next."""
    number = 0
    for group in range(file.num_row_groups):
        behind = number + file.metadata.row_group(group).num_rows
        cause = "the file has no more of them"
        chosen = None if columns is None else list(columns)
        try:
            for batch in file.iter_batches(_ROWS, row_groups=[group], columns=chosen):
                for row in python_rows(batch):
                    number += 1
                    yield number, row
        except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
            cause = str(error)
        if number < behind:
            yield LostRows(number + 1, behind, group, cause)
        number = max(number, behind)
