"""tokenizer and pack run through the real engine on documents a test gives, in place of `dedup`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from llm.tables import SPLIT_DOCUMENTS as DOCUMENTS
from tasks.engine.config import ShardedConfig, StageConfig, execution
from tasks.engine.declare import Output
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
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
from tasks.stages import pack, tokenizer

_REST = {"title": None, "extractor": "test", "html_bytes": 0, "text_chars": 0}


class SplitConfig(ShardedConfig):
    folder: str = execution("", "JSON lines; a file becomes a part.")


def split_part(unit: Unit) -> Iterator[Emitted]:
    rows = [_REST | json.loads(line) for line in unit.path.read_bytes().split(b"\n") if line]
    yield RowsIn(len(rows))
    yield "documents", pa.Table.from_pylist(rows, schema=DOCUMENTS)


def split_run(config: SplitConfig, inputs: Inputs, out: Out) -> None:
    out.map(split_part, over=inputs.external["files"].items)


def split_externals(config: SplitConfig) -> Mapping[str, Snapshot]:
    return {"files": snapshot_files([config.folder], "dedup.folder")}


def no_panels(artifact: Artifact) -> list[Panel]:
    return []


DEDUP = Stage(
    name="dedup",
    version=1,
    description="Documents of a test.",
    config=SplitConfig,
    inputs={},
    outputs={"documents": Output("Documents.", DOCUMENTS, unique_ids=True)},
    run=split_run,
    panels=no_panels,
    externals=split_externals,
)
STAGES = {stage.name: stage for stage in (DEDUP, tokenizer.STAGE, pack.STAGE)}


def document(text: str | None, source: str = "test", split: str = "train") -> dict[str, Any]:
    identity = xxhash.xxh3_128_hexdigest(f"{source}\0{text}".encode())
    return {"doc_id": identity, "url": "u", "text": text, "source": source, "split": split}


def built(
    folder: Path, parts: Sequence[Sequence[dict[str, Any]]], **configs: StageConfig
) -> dict[str, BuildResult]:
    """Build the stages configured in `folder`, on top of documents in these parts."""
    documents = folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    for old in documents.iterdir():
        old.unlink()
    for number, rows in enumerate(parts):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (documents / f"part{number}.jsonl").write_text(lines)
    everything = {"dedup": SplitConfig(folder=str(documents), workers=1), **configs}
    store = Store(str(folder / "home"))
    return build(Planner(chain(STAGES, everything), everything, "test", store, Selection()))


def rows(done: Mapping[str, BuildResult], stage: str, output: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = done[stage].artifact.data(output).table().to_pylist()
    return listed


def data_id(done: Mapping[str, BuildResult], stage: str, output: str) -> str:
    return done[stage].artifact.data(output).data_id
