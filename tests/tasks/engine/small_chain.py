"""A chain of three small stages over text files, to prove the engine on: read -> shout -> count."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash
from pydantic import Field

from llm.tables import DOC_ID, REJECTED, REMOVED
from tasks.engine.config import ShardedConfig, StageConfig, execution
from tasks.engine.declare import Conservation, Input, Output
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.shards.unit import Emitted, Fact, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel, Table

TEXTS = pa.schema([DOC_ID, pa.field("text", pa.string())])


class ReadConfig(ShardedConfig):
    paths: list[str] = execution([], "Text files, a line a document.")
    shortest: int = Field(1, description="Lines below are removed.", ge=0)


def read_lines(unit: Unit, shortest: int) -> Iterator[Emitted]:
    lines = unit.path.read_text().splitlines()
    ids = [xxhash.xxh3_128_hexdigest(f"{unit.name}|{line}".encode()) for line in lines]
    kept = [(i, line) for i, line in zip(ids, lines, strict=True) if len(line) >= shortest]
    short = [(i, line) for i, line in zip(ids, lines, strict=True) if len(line) < shortest]
    yield RowsIn(len(lines))
    yield "texts", pa.table([[i for i, _ in kept], [t for _, t in kept]], schema=TEXTS)
    yield (
        "removed",
        pa.table(
            [
                [i for i, _ in short],
                ["short"] * len(short),
                [float(len(t)) for _, t in short],
                [float(shortest)] * len(short),
                [None] * len(short),
            ],
            schema=REMOVED,
        ),
    )


def read_run(config: ReadConfig, inputs: Inputs, out: Out) -> None:
    out.map(
        read_lines, over=inputs.external["files"].items, arguments={"shortest": config.shortest}
    )


def read_externals(config: ReadConfig) -> Mapping[str, Snapshot]:
    return {"files": snapshot_files(config.paths, "read.paths")}


class ShoutConfig(ShardedConfig):
    mark: str = Field("!", description="Put behind every text.")
    lose: bool = Field(False, description="Lose a row, to break the law.")
    crash_on: str = Field("", description="A text that kills the process.")


def shout_part(unit: Unit, mark: str, lose: bool, crash_on: str) -> Iterator[Emitted]:
    table = unit.table()
    journal = os.environ.get("SHOUT_JOURNAL")
    if journal:
        with Path(journal).open("a") as stream:
            stream.write(f"{unit.name}\n")
    time.sleep(float(os.environ.get("SHOUT_DELAY", "0")))
    texts = [text.upper() + mark for text in table["text"].to_pylist()]
    if crash_on and any(crash_on in text for text in texts):
        os.kill(os.getpid(), 9)
    shouted = pa.table([table["doc_id"], pa.array(texts)], schema=TEXTS)
    yield "texts", shouted.slice(1) if lose else shouted
    yield (
        "lengths",
        pa.table(
            [table["doc_id"], pa.array([len(t) for t in texts], pa.int64())],
            schema=pa.schema([DOC_ID, pa.field("length", pa.int64())]),
        ),
    )
    yield Fact("characters", sum(map(len, texts)))


def shout_run(config: ShoutConfig, inputs: Inputs, out: Out) -> None:
    arguments = {"mark": config.mark, "lose": config.lose, "crash_on": config.crash_on}
    out.map(shout_part, over="texts", arguments=arguments)


class CountConfig(StageConfig):
    least: int = Field(0, description="Ignored below.", ge=0)


def count_run(config: CountConfig, inputs: Inputs, out: Out) -> None:
    texts = inputs["texts"].table()
    (out.folder("model") / "count.txt").write_text(str(texts.num_rows))
    out.conserve(rows_in=texts.num_rows, kept=texts.num_rows)


def panels(artifact: Artifact) -> list[Panel]:
    return [Table("totals", ["rows"], [[artifact.manifest.totals.rows_in]])]


READ = Stage(
    name="read",
    version=1,
    description="Lines of text files.",
    config=ReadConfig,
    inputs={},
    outputs={
        "texts": Output("Lines.", TEXTS, unique_ids=True),
        "removed": Output("Too short.", REMOVED),
    },
    run=read_run,
    panels=panels,
    externals=read_externals,
    conservation=Conservation(None, kept="texts", removed="removed"),
)
SHOUT = Stage(
    name="shout",
    version=1,
    description="Upper case.",
    config=ShoutConfig,
    inputs={"texts": Input(("read.texts",), "Lines.")},
    outputs={
        "texts": Output("Shouted.", TEXTS, unique_ids=True),
        "lengths": Output("Evidence.", pa.schema([DOC_ID, pa.field("length", pa.int64())])),
        "rejected": Output("Rows of shards that failed.", REJECTED),
    },
    run=shout_run,
    panels=panels,
    conservation=Conservation("texts", kept="texts", rejected="rejected"),
)
COUNT = Stage(
    name="count",
    version=1,
    description="How many.",
    config=CountConfig,
    inputs={"texts": Input(("shout.texts",), "Shouted.")},
    outputs={"model": Output("The count.")},
    run=count_run,
    panels=panels,
)
REGISTRY = {stage.name: stage for stage in (READ, SHOUT, COUNT)}


def planner(
    store: Store, corpus: Path, selection: Selection | None = None, **fields: dict[str, Any]
) -> Planner:
    configs = {
        "read": ReadConfig(paths=[str(corpus / "*.txt")], workers=1, **fields.get("read", {})),
        "shout": ShoutConfig(**{"workers": 1, **fields.get("shout", {})}),
        "count": CountConfig(**fields.get("count", {})),
    }
    registry = fields.get("registry", REGISTRY)
    return Planner(chain(registry, configs), configs, "small", store, selection or Selection())


def write_corpus(folder: Path, files: int = 5, lines: int = 7) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        text = "\n".join(f"line {line} of file {number}" for line in range(lines))
        (folder / f"file{number}.txt").write_text(text)
    return folder
