"""How long it takes to say what holds a page, and how fast a removal is checked.

    python -m benchmarks.forget [--documents 100000]

A home is filled with so many documents of 60 words by stand-ins of the stages, which write rows as
the stages do: pages, documents of four stages, packed rows of 512 tokens, and a model that was made
of them. Then one page, one domain (a hundredth of all pages) and one doc_id are looked up by the
command, its start included, each the median of three; and texts of 20 MB are searched for spans of
50 bytes of 1,000 texts, once with none of these among them and once with all. There is no peer:
nobody else says what a model read.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.forget.opt_outs import Entry, OptOuts
from llm.corpus.forget.shared_spans import RemovedTexts
from llm.corpus.identity import doc_id
from tasks.engine.config import StageConfig
from tasks.engine.declare import Input, Output
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage, registry
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.forget.holders import held
from tasks.panels.panels import Panel

ROUNDS, A_TABLE, DOMAINS = 3, 500, 100
LOOK_UP_SECONDS = 2.0
WORDS = 60
DOCUMENTS = pa.schema(
    [(name, pa.string()) for name in ("doc_id", "url", "source", "split", "text")]
)
SEQUENCES = pa.schema(
    [("doc_ids", pa.list_(pa.string())), ("split", pa.string()), ("tokens", pa.list_(pa.int32()))]
)


@functools.cache
def vocabulary() -> list[str]:
    """Random words."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20_000)]


def texts(count: int, seed: int) -> list[str]:
    """Texts of random words, no two alike."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(vocabulary(), k=WORDS)) for _ in range(count)]


def _pages(config: StageConfig, inputs: Inputs, out: Out) -> None:
    with out.table("pages") as writer:
        for begin in range(0, config_of(config).documents, A_TABLE):
            writer.write(rows(begin, min(A_TABLE, config_of(config).documents - begin)))


def _on(output: str) -> Callable[[StageConfig, Inputs, Out], None]:
    """A stage that hands its documents on."""

    def run(config: StageConfig, inputs: Inputs, out: Out) -> None:
        with out.table(output) as writer:
            for table in inputs["read"].tables():
                writer.write(table)

    return run


def _packed(config: StageConfig, inputs: Inputs, out: Out) -> None:
    """Rows of tokens: some five documents each, as these are as long."""
    with out.table("sequences") as writer:
        for table in inputs["read"].tables(["doc_id"]):
            ids = table.column("doc_id").to_pylist()
            groups = [ids[at : at + 5] for at in range(0, len(ids), 5)]
            tokens = [list(range(512))] * len(groups)
            splits = ["train"] * len(groups)
            writer.write(pa.table([groups, splits, tokens], schema=SEQUENCES))


def _learned(config: StageConfig, inputs: Inputs, out: Out) -> None:
    (out.folder("model") / "weights").write_text(inputs["read"].data_id)


def _no_panels(artifact: Artifact) -> list[Panel]:
    return []


class Size(StageConfig):
    """How many documents there are."""

    documents: int = 0


def config_of(config: StageConfig) -> Size:
    assert isinstance(config, Size)
    return config


def rows(begin: int, count: int) -> pa.Table:
    """Documents from a number on, a hundred domains."""
    urls = [f"https://site{at % DOMAINS}.example/{at}" for at in range(begin, begin + count)]
    written = texts(count, begin)
    ids = [doc_id("texts", url, text.encode()) for url, text in zip(urls, written, strict=True)]
    splits, names = ["train"] * count, ["texts"] * count
    return pa.table([ids, urls, names, splits, written], schema=DOCUMENTS)


def build_home(folder: Path, count: int) -> Store:
    """Pages to packed rows over so many texts, and a model."""

    def stage(name: str, reads: str, output: Output, kind: str, run: Any) -> Stage:
        inputs = {"read": Input((reads,), "What it reads.")} if reads else {}
        return Stage(name, 1, "Stands in.", Size, inputs, {kind: output}, run, _no_panels)

    table = Output("Documents.", DOCUMENTS, unique_ids=True)
    stages = registry(
        [
            stage("source", "", table, "pages", _pages),
            stage("clean", "source.pages", table, "documents", _on("documents")),
            stage("annotate", "clean.documents", table, "attributes", _on("attributes")),
            stage("filter", "clean.documents", table, "documents", _on("documents")),
            stage("dedup", "filter.documents", table, "documents", _on("documents")),
            stage("pack", "dedup.documents", Output("Rows.", SEQUENCES), "sequences", _packed),
            stage("pretrain", "pack.sequences", Output("Weights."), "model", _learned),
        ]
    )
    configs: dict[str, StageConfig] = {name: Size(documents=count) for name in stages}
    store = Store(str(folder / "home"))
    build(Planner(chain(stages, configs), configs, "bench", store, Selection()))
    return store


def look_up(store: Store, kind: str, entry: str) -> dict[str, object]:
    """The median of some rounds of the command."""
    seconds, of_processor = [], []
    command = [sys.executable, "-c", "from flows.cli.main import main; main()", "forget", entry]
    environment = os.environ | {"INGOT_HOME": store.url}
    for _ in range(ROUNDS):
        began, spent = time.perf_counter(), _of_children()
        told = subprocess.run(
            [*command, "--json"], capture_output=True, check=True, text=True, env=environment
        )
        seconds.append(time.perf_counter() - began)
        of_processor.append(_of_children() - spent)
    found = json.loads(told.stdout)
    assert any(each["model"] for each in found["artifacts"]), "a model read them"
    return {
        "name": kind,
        "seconds": round(statistics.median(seconds), 3),
        "processor_seconds": round(statistics.median(of_processor), 3),
        "pages": len(found["pages"]),
        "rows": sum(sum(each["rows"].values()) for each in found["artifacts"]),
    }


def _of_children() -> float:
    """Processor seconds of all processes that this one started and that ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def check(removed: list[str], searched: list[str]) -> dict[str, object]:
    """Megabytes a processor second of an exact search for shared spans of 50 bytes."""
    ids = pa.chunked_array([[str(at) for at in range(len(searched))]])
    sought = RemovedTexts([text.encode() for text in removed], 50)
    began = time.process_time()
    found = sum(1 for _ in sought.shared_with(ids, pa.chunked_array([searched])))
    taken = time.process_time() - began
    size = sum(len(text) for text in searched) / 1e6
    return {
        "name": f"search, {found} texts share spans",
        "mb_per_processor_second": round(size / taken, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What holds a page, and how fast it is said.")
    parser.add_argument("--documents", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = build_home(Path(folder), arguments.documents)
        page = "https://site0.example/0"
        [first] = held(store, OptOuts([Entry("url", "site0.example/0")])).pages
        asked = {"url": page, "domain": "site0.example", "doc_id": first.doc_id}
        measured = [look_up(store, kind, entry) for kind, entry in asked.items()]
    searched = texts(20_000_000 // (7 * WORDS), 2)
    measured += [check(texts(1_000, 3), searched), check(searched[:1_000], searched)]
    for row in measured:
        told = ", ".join(f"{k} {v:.3g}" for k, v in row.items() if isinstance(v, (int, float)))
        print(f"{row['name']:36}{told}")
    slowest = max(float(str(row["seconds"])) for row in measured if "seconds" in row)
    bar = {"name": "forget_look_up_s", "value": slowest, "target": LOOK_UP_SECONDS}
    record = {
        "benchmark": "forget",
        "input": {"documents": arguments.documents},
        "versions": {"pyarrow": version("pyarrow"), "numpy": version("numpy")},
        "rows": measured,
        "bars": [{**bar, "holds": slowest <= LOOK_UP_SECONDS}],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
