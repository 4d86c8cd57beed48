"""What it costs to go on from many small shards when all of them are there already.

    python -m benchmarks.adoption [--shards 5000]

Prints milliseconds a shard: listing the receipts, taking the shards over, and the whole stage with
its checks. There is no peer to compare with; what it may cost is 0.3 ms for the first two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from llm.tables import DOC_ID
from tasks.engine.config import ShardedConfig
from tasks.engine.declare import Conservation, Output
from tasks.engine.identity.snapshot import Item, Snapshot
from tasks.engine.progress import NullListener
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards.adoption import ShardWork
from tasks.engine.shards.attempt import AttemptFiles
from tasks.engine.shards.earlier_receipts import known_receipts
from tasks.engine.shards.unit import Emitted, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel

_TEXTS = pa.schema([DOC_ID, pa.field("text", pa.string())])


def one_row(unit: Unit) -> Iterator[Emitted]:
    """A table of one row: a shard that costs what a shard costs."""
    yield RowsIn(1)
    yield "texts", pa.table([[unit.sha256[:32]], [unit.name]], schema=_TEXTS)


def run(config: ShardedConfig, inputs: Inputs, out: Out) -> None:
    """Map over the files."""
    out.map(one_row, over=inputs.external["files"].items)


def panels(artifact: Artifact) -> list[Panel]:
    """None."""
    return []


STAGE = Stage(
    name="tiny",
    version=1,
    description="A row a file.",
    config=ShardedConfig,
    inputs={},
    outputs={"texts": Output("Rows.", _TEXTS, unique_ids=True)},
    run=run,
    panels=panels,
    conservation=Conservation(None, kept="texts"),
)


def _snapshot(shards: int) -> Snapshot:
    return Snapshot(
        tuple(Item(f"{n:06}", 1, f"{n:064x}"[::-1], f"/nowhere/{n}") for n in range(shards))
    )


def main() -> None:
    """Build once, forget the manifest, build again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=5_000)
    shards = parser.parse_args().shards
    config = ShardedConfig(workers=1)
    order = BuildRequest(STAGE, config, {}, {"files": _snapshot(shards)})
    with tempfile.TemporaryDirectory() as home:
        store = Store(home)
        execute(order, store)
        for manifest in Path(home).rglob("manifest.json"):
            manifest.unlink()
        moments = [time.perf_counter()]
        known = known_receipts(store, STAGE.name)
        moments.append(time.perf_counter())
        files = AttemptFiles(STAGE, store, "elsewhere/0001")
        found = len(
            ShardWork(STAGE, config, store, files, NullListener(), known, "", False).adopt(known)
        )
        moments.append(time.perf_counter())
        timings = execute(order, store).artifact.manifest.timings
        moments.append(time.perf_counter())
    if (found, timings.shards_adopted) != (shards, shards):
        raise SystemExit(f"{found} found and {timings.shards_adopted} adopted of {shards}")
    for what, (began, ended) in zip(
        ("listing", "adopting", "the stage"), pairwise(moments), strict=True
    ):
        print(f"{what:<10} {1e3 * (ended - began) / shards:.3f} ms a shard")


if __name__ == "__main__":
    main()
