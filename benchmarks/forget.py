"""How long it takes to say what holds a page, and how fast a removal is checked.

    python -m benchmarks.forget [--documents 100000]

A home is built of so many short texts, from source to packed rows, with a model that only stands
for one. Then one page, one domain (a hundredth of all pages) and one doc_id are looked up, each the
median of three; and texts of 20 MB are searched for spans of 50 bytes of 1,000 of them, once with
none of these among them and once with all. There is no peer: nobody else says what a model read.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from llm.corpus.forget.opt_outs import Entry, OptOuts
from llm.corpus.forget.shared_spans import RemovedTexts
from tasks.engine.config import StageConfig
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.forget.holders import held
from tasks.registry import STAGES

ROUNDS, A_FILE, DOMAINS = 3, 5_000, 100
LOOK_UP_SECONDS = 2.0
WORDS = 60


def texts(count: int, seed: int) -> list[str]:
    """Texts of random words, no two alike."""
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20_000)]
    return [" ".join(draw.choices(words, k=WORDS)) for _ in range(count)]


def build_home(folder: Path, count: int) -> Store:
    """Source to pack over so many texts, a hundred domains."""
    (folder / "texts").mkdir(parents=True)
    written = texts(count, 1)
    for begin in range(0, count, A_FILE):
        rows = [
            {"text": text, "url": f"https://site{at % DOMAINS}.example/{at}"}
            for at, text in enumerate(written[begin : begin + A_FILE], begin)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "texts" / f"{begin:08}.jsonl").write_text(lines, encoding="utf-8")
    record: dict[str, dict[str, object]] = {
        "source": {"sources": [{"name": "texts", "paths": [str(folder / "texts")]}]},
        "clean": {},
        "dedup": {},
        "tokenizer": {"vocabulary_size": 4_096, "sample_bytes": 2_000_000},
        "pack": {"sequence_length": 512},
    }
    configs: dict[str, StageConfig] = {
        name: STAGES[name].config.model_validate(fields) for name, fields in record.items()
    }
    store = Store(str(folder / "home"))
    build(Planner(chain(STAGES, configs), configs, "bench", store, Selection()))
    return store


def look_up(store: Store, entry: Entry) -> dict[str, object]:
    """The median of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = held(store, OptOuts([entry]))
        seconds.append(time.perf_counter() - began)
    rows = sum(sum(holder.rows.values()) for holder in found.holders)
    taken = statistics.median(seconds)
    return {"name": entry.kind, "seconds": taken, "pages": len(found.pages), "rows": rows}


def check(removed: list[str], searched: list[str]) -> dict[str, object]:
    """Megabytes a second of an exact search for shared spans of 50 bytes."""
    ids = pa.chunked_array([[str(at) for at in range(len(searched))]])
    sought = RemovedTexts([text.encode() for text in removed], 50)
    began = time.perf_counter()
    found = sum(1 for _ in sought.shared_with(ids, pa.chunked_array([searched])))
    taken = time.perf_counter() - began
    size = sum(len(text) for text in searched) / 1e6
    return {"name": f"search, {found} texts share spans", "mb_per_second": size / taken}


def main() -> None:
    parser = argparse.ArgumentParser(description="What holds a page, and how fast it is said.")
    parser.add_argument("--documents", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = build_home(Path(folder), arguments.documents)
        first = held(store, OptOuts([Entry("url", "site0.example/0")])).pages[0]
        asked = [
            Entry("url", "site0.example/0"),
            Entry("domain", "site0.example"),
            Entry("doc_id", first.doc_id),
        ]
        rows = [look_up(store, entry) for entry in asked]
    searched = texts(20_000_000 // (7 * WORDS), 2)
    rows += [check(texts(1_000, 3), searched), check(searched[:1_000], searched)]
    for row in rows:
        told = ", ".join(f"{k} {v:.3g}" for k, v in row.items() if isinstance(v, (int, float)))
        print(f"{row['name']:36}{told}")
    slowest = max(float(str(row["seconds"])) for row in rows if "seconds" in row)
    bar = {"name": "forget_look_up_s", "value": slowest, "target": LOOK_UP_SECONDS}
    record = {
        "benchmark": "forget",
        "input": {"documents": arguments.documents},
        "versions": {"pyarrow": version("pyarrow"), "numpy": version("numpy")},
        "rows": rows,
        "bars": [{**bar, "holds": slowest <= LOOK_UP_SECONDS}],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
