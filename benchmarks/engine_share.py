"""A stage of about a minute: how much of it is the engine's own.

Every shard computes for a while and writes a full part; what the stage takes beyond that is what
the engine adds: its snapshot, lease, receipts, digests, checks, panels and manifest, and writing.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from llm.tables import DOC_ID
from tasks.engine.config import ShardedConfig
from tasks.engine.declare import Conservation, Output
from tasks.engine.identity.snapshot import snapshot_files
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards.unit import Emitted, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.manifest import ROWS_PER_PART
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel, Table

SHARDS = 30
_TEXTS = pa.schema([DOC_ID, pa.field("text", pa.string())])
_worked: list[float] = []  # seconds of each shard; all are built in this process


def compute(unit: Unit, seconds: float) -> Iterator[Emitted]:
    """A part of as many rows as a part has, after so many processor seconds of work."""
    began, computed = time.perf_counter(), time.thread_time()
    texts: list[str] = []
    # Of the processor: on a busy machine it works for as long as on a quiet one, in more time.
    while len(texts) < ROWS_PER_PART or time.thread_time() - computed < seconds:
        digest = hashlib.sha512(f"{unit.name} {len(texts)}".encode() * 64).hexdigest()
        if len(texts) < ROWS_PER_PART:
            texts.append(digest * 4)
    ids = [hashlib.md5(f"{unit.name} {n}".encode()).hexdigest() for n in range(ROWS_PER_PART)]
    table = pa.table([ids, texts], schema=_TEXTS)
    _worked.append(time.perf_counter() - began)
    yield RowsIn(ROWS_PER_PART)
    yield "texts", table


class WorkConfig(ShardedConfig):
    """How long it works."""

    seconds: float = Field(2.0, description="Of a processor, for a shard.", ge=0)


def run(config: WorkConfig, inputs: Inputs, out: Out) -> None:
    """Map over the files."""
    files = inputs.external["files"].items
    out.map(compute, over=files, arguments={"seconds": config.seconds})


def panels(artifact: Artifact) -> list[Panel]:
    """What a stage of one table shows."""
    return [Table("rows", ("rows",), ((artifact.data("texts").rows,),))]


STAGE = Stage(
    name="work",
    version=1,
    description="A part a file, after a while.",
    config=WorkConfig,
    inputs={},
    outputs={"texts": Output("Rows.", _TEXTS, unique_ids=True)},
    run=run,
    panels=panels,
    conservation=Conservation(None, kept="texts"),
)


def measure(seconds: float) -> dict[str, float]:
    """A stage that works for so many processor seconds: seconds of its work, seconds that the
    engine took beyond, what part of the first the second is; the last of processor seconds too,
    which a busy machine changes less."""
    with tempfile.TemporaryDirectory(prefix="ingot-share-") as place:
        folder = Path(place)
        (folder / "files").mkdir()
        for number in range(SHARDS):
            (folder / "files" / f"{number:02}.txt").write_text(str(number))
        config = WorkConfig(workers=1, seconds=seconds / SHARDS)
        _worked.clear()
        began, computed = time.perf_counter(), time.process_time()
        files = snapshot_files([str(folder / "files")], "files")
        built = execute(BuildRequest(STAGE, config, {}, {"files": files}), Store(f"{place}/home"))
        took, used = time.perf_counter() - began, time.process_time() - computed
        if built.cached or len(_worked) != SHARDS:
            raise SystemExit(f"{len(_worked)} shards worked, of {SHARDS}")
    worked = sum(_worked)
    return {
        "work_s": worked,
        "engine_s": took - worked,
        "engine_share": (took - worked) / worked,
        "engine_cpu_share": (used - seconds) / seconds,
    }
