"""One shard to be built: what an executor is handed, and the work it amounts to.

A job is a plain value that can be pickled: it may be carried out in this process, in another, or
on another machine that sees the same files.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pyarrow as pa

from llm.sha256 import sha256_file
from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.shards.parts import PartWriter
from tasks.engine.shards.receipt import Receipt, add_fact
from tasks.engine.shards.unit import Emitted, Fact, NewFile, RowsIn, Unit
from tasks.engine.store.manifest import File

ShardFunction = Callable[..., Iterator[Emitted]]


@dataclass(frozen=True)
class Job:
    """A shard function, what it is given, and where its parts go.

    Attributes:
        function: `module:qualname`, see `function_name`.
        arguments: what it gets beside the unit.
        schemas: of every output the stage may write; `None` for a folder.
        staging: where parts are written, in a folder an output; the attempt publishes them from
            there once it has the receipt.
        stem: file name of the first part of each output, without its ending.
        checked: the unit's bytes must be those the plan saw; else the function sees to it.
    """

    function: str
    unit: Unit
    arguments: Mapping[str, Any]
    schemas: Mapping[str, pa.Schema | None]
    staging: Path
    stem: str
    shard_id: str
    checked: bool = True

    @property
    def name(self) -> str:
        """What the shard is called for people."""
        return self.unit.name


def function_name(function: ShardFunction) -> str:
    """`module:qualname` of a top-level function, by which a worker finds it.

    Raises:
        OutputError: it is nested or a lambda, so no other process could import it.
    """
    if "<" in function.__qualname__:
        raise OutputError(
            f"{function.__qualname__} cannot be found by name in a worker process; "
            "define shard functions at the top level of a module"
        )
    return f"{function.__module__}:{function.__qualname__}"


def part_stem(name: str, external: bool) -> str:
    """The file name of a unit's parts: its own for parts, a readable and unique one for items."""
    if not external:
        return name
    readable = re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip("-.")[-60:]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def run_job(job: Job) -> Receipt:
    """Run a shard function on its unit and write its parts and files into the staging folder.

    Raises:
        DamagedArtifactError: the unit's bytes are not those the plan saw.
        OutputError: the function yielded an undeclared output, wrong columns, or a file that is to
            lie outside of its output.
    """
    started = time.perf_counter()
    if job.checked:
        _check_bytes(job.unit)
    module, _, name = job.function.partition(":")
    body = cast("ShardFunction", getattr(importlib.import_module(module), name))
    written = _Written(job)
    scratch = job.staging / f"scratch-{job.shard_id}"
    shutil.rmtree(scratch, ignore_errors=True)  # of a first try
    scratch.mkdir(parents=True)
    for emitted in body(replace(job.unit, scratch=scratch), **job.arguments):
        written.take(emitted)
    shutil.rmtree(scratch)
    return Receipt(
        shard_id=job.shard_id,
        unit=job.unit.name,
        rows_in=written.rows_in,
        files=written.close(),
        reasons={output: dict(sorted(c.items())) for output, c in sorted(written.reasons.items())},
        notes=dict(sorted(written.notes.items())),
        seconds=time.perf_counter() - started,
    )


def _check_bytes(unit: Unit) -> None:
    for file in unit.files():
        if file.path.is_file() and sha256_file(file.path) != file.sha256:
            raise DamagedArtifactError(
                f"{file.path}: the bytes changed since they were published or planned; "
                "`ingot verify --deep` marks damaged artifacts, `ingot run` rebuilds them"
            )


class _Written:
    """What a shard function has yielded so far."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._writers: dict[str, PartWriter] = {}
        self._files: dict[str, list[File]] = {}
        self.rows_in = job.unit.rows or 0
        self.reasons: dict[str, Counter[str]] = {}
        self.notes: dict[str, int | float | list[str]] = {}

    def take(self, emitted: Emitted) -> None:
        if isinstance(emitted, RowsIn):
            self.rows_in += emitted.count
        elif isinstance(emitted, Fact):
            add_fact(self.notes, emitted.name, emitted.value)
        elif isinstance(emitted, NewFile):
            self._take_file(emitted)
        else:
            self._take_table(*emitted)

    def _take_table(self, output: str, table: pa.Table) -> None:
        if output not in self._writers:
            self._writers[output] = self._writer(output)
        self._writers[output].write(table)
        if "reason" in table.schema.names:
            counted = table.column("reason").value_counts().to_pylist()
            counter = self.reasons.setdefault(output, Counter())
            counter.update({row["values"]: row["counts"] for row in counted})

    def _take_file(self, new: NewFile) -> None:
        if self._declared(new.output) is not None:
            raise OutputError(f"{self._job.function} yielded a file for the table {new.output!r}")
        path = PurePosixPath(new.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or str(path) != new.path:
            raise OutputError(
                f"{self._job.function} yielded {new.path!r} for {new.output}: not a path in it"
            )
        target = self._job.staging / new.output / new.path
        target.parent.mkdir(parents=True, exist_ok=True)
        new.source.replace(target)
        size, digest = target.stat().st_size, sha256_file(target)
        self._files.setdefault(new.output, []).append(
            File(path=new.path, rows=None, bytes=size, sha256=digest)
        )

    def _declared(self, output: str) -> pa.Schema | None:
        if output not in self._job.schemas:
            raise OutputError(
                f"{self._job.function} yielded {output!r}, the stage declares "
                f"{', '.join(self._job.schemas)}"
            )
        return self._job.schemas[output]

    def _writer(self, output: str) -> PartWriter:
        schema = self._declared(output)
        if schema is None:
            raise OutputError(f"{self._job.function} yielded a table for the folder {output!r}")
        where = f"{output} of {self._job.unit.name}"
        return PartWriter(self._job.staging / output, self._job.stem, schema, where)

    def close(self) -> dict[str, list[File]]:
        """Finish every part; all files by output."""
        parts = {output: writer.close() for output, writer in self._writers.items()}
        return dict(sorted((parts | self._files).items()))
