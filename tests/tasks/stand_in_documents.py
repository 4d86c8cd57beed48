"""Stages run through the real engine on documents a test gives, in place of `clean`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from llm.tables import DOCUMENTS as FILTERED
from tasks.engine.config import ShardedConfig, StageConfig, execution
from tasks.engine.declare import Output
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.out import Out
from tasks.engine.progress import Listener, NullListener
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.shards.unit import Emitted, RowsIn, Unit
from tasks.engine.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel
from tasks.stages import annotate, quality
from tasks.stages.filter import STAGE as FILTER

# As `clean` has them, except that a test may give no text.
DOCUMENTS = FILTERED.append(pa.field("robots", pa.string()))


class StandInConfig(ShardedConfig):
    folder: str = execution("", "JSON lines; a file becomes a part.")


def given_part(unit: Unit) -> Iterator[Emitted]:
    rows = [json.loads(line) for line in unit.path.read_bytes().split(b"\n") if line]
    yield RowsIn(len(rows))
    yield "documents", pa.Table.from_pylist(rows, schema=DOCUMENTS)


def given_run(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    out.map(given_part, over=inputs.external["files"].items)


def given_externals(config: StandInConfig) -> Mapping[str, Snapshot]:
    return {"files": snapshot_files([config.folder], "clean.folder")}


def no_panels(artifact: Artifact) -> list[Panel]:
    return []


STAND_IN = Stage(
    name="clean",
    version=1,
    description="Documents of a test.",
    config=StandInConfig,
    inputs={},
    outputs={"documents": Output("Documents.", DOCUMENTS, unique_ids=True)},
    run=given_run,
    panels=no_panels,
    externals=given_externals,
)
STAGES = {s.name: s for s in (STAND_IN, quality.STAGE, annotate.STAGE, FILTER)}


def document(url: str, text: str | None) -> dict[str, Any]:
    return {
        "doc_id": xxhash.xxh3_128_hexdigest(f"{url}\0{text}".encode()),
        "url": url,
        "title": None,
        "text": text,
        "extractor": "test",
        "source": "test",
        "html_bytes": 0,
        "text_chars": len(text or ""),
        "robots": None,
    }


def write_parts(folder: Path, parts: Sequence[Sequence[dict[str, Any]]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(parts):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"part{number}.jsonl").write_text(lines)
    return folder


class Heard(NullListener):
    """Keeps the lines that stages log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, stage: str, message: str) -> None:
        self.lines.append(f"{stage}: {message}")


def built(
    home: Path, documents: Path, listener: Listener | None = None, **configs: StageConfig
) -> dict[str, BuildResult]:
    """Build the stages configured, on top of the documents."""
    everything = {"clean": StandInConfig(folder=str(documents), workers=1), **configs}
    store = Store(str(home))
    planner = Planner(chain(STAGES, everything), everything, "test", store, Selection())
    return build(planner, listener)


def rows(done: Mapping[str, BuildResult], stage: str, output: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = done[stage].artifact.data(output).table().to_pylist()
    return listed


def data_id(done: Mapping[str, BuildResult], stage: str, output: str) -> str:
    return done[stage].artifact.data(output).data_id
