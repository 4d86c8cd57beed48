"""One shard to be built: what an executor is handed, and the work it amounts to.

A job is a plain value that can be pickled, and names files of a store by their place in it: it may
be carried out in this process, in another, or on another machine that can open the store. Its parts
are delivered into the store's staging, and the receipt says what they are.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from llm.sha256 import sha256_file
from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.shards.intermediate import IntermediateWriter, intermediate_path
from tasks.engine.shards.receipt import Receipt
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.shards.unit_files import UnitFiles, open_unit
from tasks.engine.shards.written import Written
from tasks.engine.store.staging import Staging
from tasks.engine.store.store import Store

ShardFunction = Callable[..., Iterator[Emitted]]


@dataclass(frozen=True)
class Job:
    """A shard function, what it is given, and where its parts go.

    Attributes:
        function: `module:qualname`, see `function_name`.
        arguments: what it gets beside the unit.
        schemas: of every output the stage may write; `None` for a folder.
        home: what the store is opened by, whatever the current folder.
        staging: where in the store parts are delivered, in a folder an output; the attempt
            publishes them from there once it has the receipt.
        stem: file name of the first part of each output, without its ending.
        checked: the unit's bytes must be those the plan saw; else the function sees to it.
    """

    function: str
    unit: UnitFiles
    arguments: Mapping[str, Any]
    schemas: Mapping[str, pa.Schema | None]
    home: str
    staging: str
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
    """Run a shard function on its unit and deliver its parts and files into the store's staging.

    Raises:
        DamagedArtifactError: the unit's bytes are not those the plan saw.
        StoreError: the store cannot be opened here, or not be written.
        OutputError: the function yielded an undeclared output, wrong columns, or a file that is to
            lie outside of its output.
    """
    started = time.perf_counter()
    store = opened(job.home)
    module, _, name = job.function.partition(":")
    body = cast("ShardFunction", getattr(importlib.import_module(module), name))
    with _own_folder(job, store) as folder:
        drafts = folder / f"scratch-{job.shard_id}"
        unit = open_unit(job.unit, store, drafts)
        if job.checked:
            _check_bytes(unit)
        rows = job.unit.rows or 0
        kept = IntermediateWriter(
            folder / intermediate_path(job.shard_id),
            {item.name: item.sha256 for item in job.unit.files},
        )
        written = Written(job.function, job.name, rows, job.schemas, folder, job.stem, kept)
        for emitted in body(unit, **job.arguments):
            written.take(emitted)
        files, intermediate = written.close(), kept.close()
        paths = [f"{output}/{file.path}" for output in files for file in files[output]]
        if intermediate is not None:
            paths.append(intermediate_path(job.shard_id))
        for path in paths:
            _deliver(folder / path, store, f"{job.staging}/{path}")
    return Receipt(
        shard_id=job.shard_id,
        unit=job.unit.name,
        rows_in=written.rows_in,
        files=files,
        reasons={output: dict(sorted(c.items())) for output, c in sorted(written.reasons.items())},
        notes=dict(sorted(written.notes.items())),
        seconds=time.perf_counter() - started,
        intermediate=intermediate,
    )


@functools.lru_cache(maxsize=8)
def opened(home: str) -> Store:
    """The store of a job: one in each process, however many jobs."""
    return Store(home)


def workplace(job: Job) -> Path:
    """The local folder below which the job writes: where its parts are delivered, if the store is
    local."""
    store = opened(job.home)
    return store.local_path(job.staging) if store.local else store.cache_folder("staging")


@contextlib.contextmanager
def _own_folder(job: Job, store: Store) -> Iterator[Path]:
    """A folder of this try's own in it, gone afterwards.

    Its own, because a cluster that lost sight of a worker has the job carried out by another,
    while the first may still be at it.
    """
    if store.local:
        folder = workplace(job) / f"try-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    with contextlib.closing(Staging(workplace(job))) as staging:
        yield staging.folder


def _deliver(source: Path, store: Store, path: str) -> None:
    """Put a finished file into the staging, whole, over one of another try: it has these bytes."""
    if not store.local:
        store.put(path, source)
        return
    target = store.local_path(path)
    try:
        source.replace(target)  # synced when it is published
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _check_bytes(unit: Unit) -> None:
    for file in unit.files():
        if file.path.is_file() and sha256_file(file.path) != file.sha256:
            raise DamagedArtifactError(
                f"{file.path}: the bytes changed since they were published or planned; "
                "`ingot verify --deep` marks damaged artifacts, `ingot run` rebuilds them"
            )
