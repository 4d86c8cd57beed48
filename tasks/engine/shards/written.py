"""What a shard function yields, written down as it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pyarrow as pa

from llm.sha256 import sha256_file
from tasks.engine.errors import OutputError
from tasks.engine.shards.intermediate import IntermediateWriter
from tasks.engine.shards.parts import CountingWriter
from tasks.engine.shards.receipt import add_fact
from tasks.engine.shards.unit import Emitted, Fact, Kept, NewFile, RowsIn
from tasks.engine.store.manifest import File


class Written:
    """What a shard function has yielded so far.

    Args:
        function, unit: names, for messages.
        rows: of the unit, where it is of a table.
        schemas: of every output the stage may write; `None` for a folder.
        folder: a local one, for a folder an output.
        stem: file name of the first part of each table, without its ending.
        intermediate: for what is kept for a later map.

    Attributes:
        rows_in: rows read.
        notes: evidence, summed and joined.
    """

    def __init__(
        self,
        function: str,
        unit: str,
        rows: int,
        schemas: Mapping[str, pa.Schema | None],
        folder: Path,
        stem: str,
        intermediate: IntermediateWriter,
    ) -> None:
        self._function, self._unit, self._schemas = function, unit, schemas
        self._folder, self._stem, self._intermediate = folder, stem, intermediate
        self._writers: dict[str, CountingWriter] = {}
        self._files: dict[str, list[File]] = {}
        self.rows_in = rows
        self.notes: dict[str, int | float | list[str]] = {}

    @property
    def reasons(self) -> dict[str, Counter[str]]:
        """By output, rows by their `reason` column, where there is one and rows have it."""
        return {output: w.reasons for output, w in self._writers.items() if w.reasons}

    def take(self, emitted: Emitted) -> None:
        """Write or count one thing that was yielded.

        Raises:
            OutputError: an undeclared output, wrong columns, a table for a folder or a file for a
                table, a file that is to lie outside of its output, or rows kept of a file that is
                not the shard's.
        """
        if isinstance(emitted, RowsIn):
            self.rows_in += emitted.count
        elif isinstance(emitted, Fact):
            add_fact(self.notes, emitted.name, emitted.value)
        elif isinstance(emitted, NewFile):
            self._take_file(emitted)
        elif isinstance(emitted, Kept):
            self._intermediate.write(emitted.file, emitted.rows)
        else:
            self._take_table(*emitted)

    def _take_table(self, output: str, table: pa.Table) -> None:
        if output not in self._writers:
            self._writers[output] = self._writer(output)
        self._writers[output].write(table)

    def _take_file(self, new: NewFile) -> None:
        if self._declared(new.output) is not None:
            raise OutputError(f"{self._function} yielded a file for the table {new.output!r}")
        path = PurePosixPath(new.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or str(path) != new.path:
            raise OutputError(
                f"{self._function} yielded {new.path!r} for {new.output}: not a path in it"
            )
        target = self._folder / new.output / new.path
        target.parent.mkdir(parents=True, exist_ok=True)
        new.source.replace(target)
        size, digest = target.stat().st_size, sha256_file(target)
        self._files.setdefault(new.output, []).append(
            File(path=new.path, rows=None, bytes=size, sha256=digest)
        )

    def _declared(self, output: str) -> pa.Schema | None:
        if output not in self._schemas:
            raise OutputError(
                f"{self._function} yielded {output!r}, the stage declares "
                f"{', '.join(self._schemas)}"
            )
        return self._schemas[output]

    def _writer(self, output: str) -> CountingWriter:
        schema = self._declared(output)
        if schema is None:
            raise OutputError(f"{self._function} yielded a table for the folder {output!r}")
        where = f"{output} of {self._unit}"
        return CountingWriter(self._folder / output, self._stem, schema, where)

    def close(self) -> dict[str, list[File]]:
        """Finish every part; all files by output."""
        parts = {output: writer.close() for output, writer in self._writers.items()}
        return dict(sorted((parts | self._files).items()))
