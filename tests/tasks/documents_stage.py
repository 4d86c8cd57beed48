"""A stage that gives the documents a test wrote, in place of `clean` or of `dedup`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.tables import DOCUMENTS, SPLIT_DOCUMENTS
from tasks.engine.config import ShardedConfig, StageConfig, execution
from tasks.engine.declare import Output
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.progress import Listener
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.shards.unit import Emitted, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel

# As the stages have them, except that a test may give no text.
_SCHEMAS = {
    "clean": pa.schema(
        [*DOCUMENTS, *(pa.field(n, pa.string()) for n in ("robots", "canonical_url", "date"))]
    ),
    "dedup": SPLIT_DOCUMENTS,
}
_REST = {"title": None, "extractor": "test", "html_bytes": 0, "text_chars": 0}


class DocumentsConfig(ShardedConfig):
    folder: str = execution("", "JSON lines; a file becomes a part.")


def read_part(unit: Unit, stage: str) -> Iterator[Emitted]:
    rows = [_REST | json.loads(line) for line in unit.path.read_bytes().split(b"\n") if line]
    yield RowsIn(len(rows))
    yield "documents", pa.Table.from_pylist(rows, schema=_SCHEMAS[stage])


def no_panels(artifact: Artifact) -> list[Panel]:
    return []


def _stage(name: str) -> Stage:
    def run(config: DocumentsConfig, inputs: Inputs, out: Out) -> None:
        out.map(read_part, over=inputs.external["files"].items, arguments={"stage": name})

    def externals(config: DocumentsConfig) -> Mapping[str, Snapshot]:
        return {"files": snapshot_files([config.folder], f"{name}.folder")}

    return Stage(
        name=name,
        version=1,
        description="Documents of a test.",
        config=DocumentsConfig,
        inputs={},
        outputs={"documents": Output("Documents.", _SCHEMAS[name], unique_ids=True)},
        run=run,
        panels=no_panels,
        externals=externals,
    )


CLEAN, DEDUP = _stage("clean"), _stage("dedup")


def write_parts(folder: Path, parts: Sequence[Sequence[dict[str, Any]]]) -> Path:
    """The folder, with a file of JSON lines for each of the parts, and no other."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for number, rows in enumerate(parts):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"part{number}.jsonl").write_text(lines)
    return folder


def built_on(
    home: Path,
    stages: Sequence[Stage],
    documents: Path,
    configs: Mapping[str, StageConfig],
    listener: Listener | None = None,
    hold: tuple[str, ...] = (),
) -> dict[str, BuildResult]:
    """Build the stages configured, on top of the first, which gives the documents."""
    own = DocumentsConfig(folder=str(documents), workers=1)
    everything = {stages[0].name: own, **configs}
    registry = {stage.name: stage for stage in stages}
    wired = chain(registry, everything)
    planner = Planner(wired, everything, "test", Store(str(home)), Selection(hold=hold))
    return build(planner, listener)


def rows(done: Mapping[str, BuildResult], stage: str, output: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = done[stage].artifact.data(output).table().to_pylist()
    return listed


def data_id(done: Mapping[str, BuildResult], stage: str, output: str) -> str:
    return done[stage].artifact.data(output).data_id
