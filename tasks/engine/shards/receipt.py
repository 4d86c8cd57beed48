"""One shard: the work a worker process does, and the receipt it leaves.

A receipt is what resume, repair, takeover and refresh are made of: a shard of
equal id in any earlier attempt, whose files still have the recorded hashes, is
adopted instead of built.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from llm.sha256 import sha256_file
from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.shards.parts import PartWriter
from tasks.engine.shards.unit import Emitted, Note, RowsIn, Unit
from tasks.engine.store.manifest import File
from tasks.engine.store.store import Store


class Receipt(BaseModel):
    """What one finished shard wrote and counted.

    Attributes:
        code: identity of code and libraries that built it, see `tasks.engine.run.code.identity`.
        files: by output; paths relative to the output's folder.
        reasons: by output, rows by their `reason` column, where it has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard_id: str
    code: str = ""
    unit: str
    rows_in: int
    files: dict[str, list[File]]
    reasons: dict[str, dict[str, int]]
    notes: dict[str, int | float | list[str]]
    seconds: float


def function_name(function: Callable[..., Iterator[Emitted]]) -> str:
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


def run_shard(
    function: str,
    unit: Unit,
    arguments: Mapping[str, Any],
    schemas: Mapping[str, pa.Schema],
    folder: Path,
    stem: str,
    shard: str,
) -> Receipt:
    """Run a shard function on one unit and write its parts below `folder`, an output each.

    Raises:
        DamagedArtifactError: the unit's bytes are not those the plan saw.
        OutputError: the function yielded an undeclared output or wrong columns.
    """
    started = time.perf_counter()
    for file in unit.files():
        if file.path.is_file() and sha256_file(file.path) != file.sha256:
            raise DamagedArtifactError(
                f"{file.path}: the bytes changed since they were published or planned; "
                "`ingot verify --deep` marks damaged artifacts, `ingot run` rebuilds them"
            )
    module, _, name = function.partition(":")
    body = cast("Callable[..., Iterator[Emitted]]", getattr(importlib.import_module(module), name))
    writers: dict[str, PartWriter] = {}
    reasons: dict[str, Counter[str]] = {}
    notes: dict[str, int | float | list[str]] = {}
    rows_in = unit.rows or 0
    for emitted in body(unit, **arguments):
        if isinstance(emitted, RowsIn):
            rows_in += emitted.count
        elif isinstance(emitted, Note):
            add_note(notes, emitted.name, emitted.value)
        else:
            output, table = emitted
            if output not in schemas:
                raise OutputError(
                    f"{function} yielded {output!r}, the stage declares {', '.join(schemas)}"
                )
            writer = writers.get(output)
            if writer is None:
                where = f"{output} of {unit.name}"
                writer = PartWriter(folder / output, stem, schemas[output], where)
                writers[output] = writer
            writer.write(table)
            if "reason" in table.schema.names:
                counted = table.column("reason").value_counts().to_pylist()
                counter = reasons.setdefault(output, Counter())
                counter.update({row["values"]: row["counts"] for row in counted})
    return Receipt(
        shard_id=shard,
        unit=unit.name,
        rows_in=rows_in,
        files={output: writer.close() for output, writer in sorted(writers.items())},
        reasons={output: dict(sorted(c.items())) for output, c in sorted(reasons.items())},
        notes=dict(sorted(notes.items())),
        seconds=time.perf_counter() - started,
    )


def add_note(
    notes: dict[str, int | float | list[str]], name: str, value: int | float | list[str]
) -> None:
    """Sum numbers, join lists.

    Raises:
        OutputError: one shard noted a number under a name where another noted a list.
    """
    old = notes.get(name)
    lists = isinstance(value, list)
    if old is None:
        notes[name] = value
    elif isinstance(old, list) is lists:
        notes[name] = old + value  # type: ignore[operator]
    else:
        raise OutputError(f"note {name!r} is a list in one place and a number in another")


def known_receipts(store: Store, stage: str) -> dict[str, str]:
    """shard id -> attempt folder, over every attempt of the stage; the newest attempt wins.

    Only names are read: a receipt is called by its shard id.
    """
    found: dict[str, str] = {}
    for path in store.files(f"artifacts/{stage}"):
        folder, _, name = path.partition("/receipts/")
        if name.endswith(".json"):
            found[name[:-5]] = folder
    return found


def verified_receipt(store: Store, folder: str, shard: str) -> Receipt | None:
    """The receipt of an earlier attempt, if every file it lists still has its hash."""
    record = store.read_json(f"{folder}/receipts/{shard}.json")
    if record is None:
        return None
    receipt = Receipt.model_validate(record)
    for output, files in receipt.files.items():
        for file in files:
            path = f"{folder}/{output}/{file.path}"
            if store.size(path) != file.bytes:
                return None
            if store.digest(path) != file.sha256:
                return None
    return receipt
