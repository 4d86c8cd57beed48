"""One shard to be built: what an executor is handed, and the work it amounts to.

A job is a plain value that can be pickled: it may be carried out in this process, in another, or
on another machine that sees the same files.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from llm.sha256 import sha256_file
from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.shards.parts import PartWriter
from tasks.engine.shards.receipt import Receipt, add_fact
from tasks.engine.shards.unit import Emitted, Fact, RowsIn, Unit

ShardFunction = Callable[..., Iterator[Emitted]]


@dataclass(frozen=True)
class Job:
    """A shard function, what it is given, and where its parts go.

    Attributes:
        function: `module:qualname`, see `function_name`.
        arguments: what it gets beside the unit.
        schemas: of every table the stage may write, by output.
        staging: where parts are written, in a folder an output; the attempt publishes them from
            there once it has the receipt.
        stem: file name of the first part of each output, without its ending.
    """

    function: str
    unit: Unit
    arguments: Mapping[str, Any]
    schemas: Mapping[str, pa.Schema]
    staging: Path
    stem: str
    shard_id: str

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
    """Run a shard function on its unit and write its parts into the staging folder.

    Raises:
        DamagedArtifactError: the unit's bytes are not those the plan saw.
        OutputError: the function yielded an undeclared output or wrong columns.
    """
    started = time.perf_counter()
    _check_bytes(job.unit)
    module, _, name = job.function.partition(":")
    body = cast("ShardFunction", getattr(importlib.import_module(module), name))
    writers: dict[str, PartWriter] = {}
    reasons: dict[str, Counter[str]] = {}
    notes: dict[str, int | float | list[str]] = {}
    rows_in = job.unit.rows or 0
    for emitted in body(job.unit, **job.arguments):
        if isinstance(emitted, RowsIn):
            rows_in += emitted.count
        elif isinstance(emitted, Fact):
            add_fact(notes, emitted.name, emitted.value)
        else:
            output, table = emitted
            if output not in writers:
                writers[output] = _writer(job, output)
            writers[output].write(table)
            if "reason" in table.schema.names:
                counted = table.column("reason").value_counts().to_pylist()
                counter = reasons.setdefault(output, Counter())
                counter.update({row["values"]: row["counts"] for row in counted})
    return Receipt(
        shard_id=job.shard_id,
        unit=job.unit.name,
        rows_in=rows_in,
        files={output: writer.close() for output, writer in sorted(writers.items())},
        reasons={output: dict(sorted(c.items())) for output, c in sorted(reasons.items())},
        notes=dict(sorted(notes.items())),
        seconds=time.perf_counter() - started,
    )


def _check_bytes(unit: Unit) -> None:
    for file in unit.files():
        if file.path.is_file() and sha256_file(file.path) != file.sha256:
            raise DamagedArtifactError(
                f"{file.path}: the bytes changed since they were published or planned; "
                "`ingot verify --deep` marks damaged artifacts, `ingot run` rebuilds them"
            )


def _writer(job: Job, output: str) -> PartWriter:
    if output not in job.schemas:
        raise OutputError(
            f"{job.function} yielded {output!r}, the stage declares {', '.join(job.schemas)}"
        )
    where = f"{output} of {job.unit.name}"
    return PartWriter(job.staging / output, job.stem, job.schemas[output], where)
