"""Writing a table as Parquet parts whose bytes depend on its rows alone.

Rows per part, rows per group and compression are constants of the format, and
groups are cut by row count, so it does not matter in what portions a stage
hands over its rows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from llm.arrow_without_pandas import block_pandas
from llm.sha256 import sha256_file
from tasks.engine.errors import OutputError
from tasks.engine.store.manifest import (
    COMPRESSION,
    COMPRESSION_LEVEL,
    ROWS_PER_GROUP,
    ROWS_PER_PART,
    File,
)
from tasks.engine.store.space import space_checked

block_pandas()  # whatever writes parts comes by here


def conform(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """The table in exactly the declared columns.

    Raises:
        OutputError: columns are missing, additional, of a type that does not fit, or null where
            the schema forbids it.
    """
    if table.schema.names != schema.names:
        raise OutputError(f"{where}: columns are {table.schema.names}, declared are {schema.names}")
    try:
        table = table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise OutputError(f"{where}: {error}") from error
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise OutputError(f"{where}: column {field.name!r} holds nulls, declared without")
    return table


class PartWriter:
    """Collects the rows of one output and writes them as parts into a local folder.

    Args:
        stem: name of the first part without its ending; later ones get `~0001` and so on.
    """

    def __init__(self, folder: Path, stem: str, schema: pa.Schema, where: str) -> None:
        self._folder, self._stem, self._schema, self._where = folder, stem, schema, where
        self._waiting: list[pa.Table] = []
        self._rows_waiting = 0
        self._writer: pq.ParquetWriter | None = None
        self._path = folder
        self._rows = 0
        self.files: list[File] = []

    def write(self, table: pa.Table) -> None:
        """Add rows."""
        if not table.num_rows:
            return
        self._waiting.append(conform(table, self._schema, self._where))
        self._rows_waiting += table.num_rows
        while self._rows_waiting >= ROWS_PER_GROUP:
            self._group(ROWS_PER_GROUP)

    def _group(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        group, rest = table.slice(0, rows), table.slice(rows)
        self._waiting = [rest] if rest.num_rows else []
        self._rows_waiting = rest.num_rows
        with space_checked(self._folder / self._stem, group.nbytes):
            if self._writer is None:
                self._open()
            assert self._writer is not None
            # One chunk a column: pages, and so bytes, do not depend on how rows arrived.
            self._writer.write_table(group.combine_chunks(), row_group_size=ROWS_PER_GROUP)
        self._rows += group.num_rows
        if self._rows >= ROWS_PER_PART:
            self._finish()

    def _open(self) -> None:
        number = len(self.files)
        name = self._stem if number == 0 else f"{self._stem}~{number:04d}"
        self._path = self._folder / f"{name}.parquet"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            self._path,
            self._schema,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
        )

    def _finish(self) -> None:
        if self._writer is None:
            return
        with space_checked(self._path):
            self._writer.close()
        self._writer = None
        self.files.append(
            File(
                path=self._path.name,
                rows=self._rows,
                bytes=self._path.stat().st_size,
                sha256=sha256_file(self._path),
            )
        )
        self._rows = 0

    def close(self) -> list[File]:
        """Write what is left; returns every part, in order."""
        if self._rows_waiting:
            self._group(self._rows_waiting)
        self._finish()
        return self.files

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()
            self._writer = None


class CountingWriter(PartWriter):
    """A part writer that counts rows by their reason."""

    def __init__(self, folder: Path, stem: str, schema: pa.Schema, where: str) -> None:
        super().__init__(folder, stem, schema, where)
        self.reasons: Counter[str] = Counter()

    def write(self, table: pa.Table) -> None:
        super().write(table)
        if "reason" in table.schema.names:
            counted = table.column("reason").value_counts().to_pylist()
            self.reasons.update({row["values"]: row["counts"] for row in counted})
