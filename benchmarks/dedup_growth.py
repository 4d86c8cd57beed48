"""How the seconds and the memory of `dedup` grow with the documents: 1, 4 and 16 times as many.

    python -m benchmarks.dedup_growth [--documents 16000] [--tries 1]

Documents of 120 words drawn by Zipf's law from 50,000; one in ten is an earlier one with two words
changed. Each size is signed and decided in a process of its own, from Parquet files of 2,000 rows,
as the stage has them. The peak is of the memory that is the process's own, pages of mapped files
apart (which the system takes back when it needs them), less what there was before the step. A
refresh decides over all when all but the last sixteenth of the files were decided over before.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.dedup import signatures
from llm.corpus.dedup.decide import Search, deduplicate
from llm.corpus.dedup.lsh import choose_banding
from llm.corpus.dedup.near import Levels
from llm.corpus.dedup.signatures import gather, keep_order
from llm.corpus.split import SPLIT_JACCARD
from llm.process.guarded import BATCH_ROWS
from tasks.engine.store.manifest import ROWS_PER_PART
from tasks.stages.dedup import DedupConfig

WORDS, VOCABULARY, CHANGED = 120, 50_000, 2
CONFIG = DedupConfig()
# From 1 to 16 times the documents: how the time a document grows, and the bytes a document that the
# peak does, which are to be less than its signature has.
BARS = {
    "decide_seconds_a_document_growth": 1.5,
    "decide_bytes_a_document": 4.0 * CONFIG.num_perm,
}


def write_documents(count: int, folder: Path) -> None:
    """Parts of doc_id and text."""
    chance = np.random.default_rng(1)
    weights = 1 / np.arange(1, VOCABULARY + 1)
    shares = np.cumsum(weights) / weights.sum()
    names = np.array([f"w{number:x}" for number in range(VOCABULARY)])
    earlier = np.empty((0, WORDS), dtype=np.int64)
    for part in range(-(-count // ROWS_PER_PART)):
        rows = min(ROWS_PER_PART, count - part * ROWS_PER_PART)
        drawn = np.searchsorted(shares, chance.random((rows, WORDS)))
        if len(earlier):
            copies = np.flatnonzero(chance.random(rows) < 0.1)
            drawn[copies] = earlier[chance.integers(0, len(earlier), len(copies))]
            places = chance.integers(0, WORDS, (len(copies), CHANGED))
            drawn[copies[:, None], places] = chance.integers(0, VOCABULARY, places.shape)
        earlier = np.concatenate([earlier, drawn])[-4 * ROWS_PER_PART :]
        ids = [f"{part * ROWS_PER_PART + row:032x}" for row in range(rows)]
        texts = [" ".join(words) for words in names[drawn].tolist()]
        table = pa.table({"doc_id": ids, "text": texts})
        pq.write_table(table, folder / f"documents-{part:05d}.parquet")


def _tables(folder: Path, name: str, share: float = 1.0) -> Iterator[pa.Table]:
    paths = sorted(folder.glob(f"{name}-*.parquet"))
    for path in paths[: round(share * len(paths))]:
        yield pq.ParquetFile(path).read()


class Peak:
    """Looks every few milliseconds how much memory of its own this process has; in MB."""

    def __init__(self) -> None:
        gc.collect()
        self.before = self.most = self._now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _now(self) -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError("no RssAnon in /proc/self/status: memory is measured on Linux alone")

    def _watch(self) -> None:
        while not self._over.wait(0.003):
            self.most = max(self.most, self._now())

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def measure(folder: Path, step: str) -> dict[str, float]:
    """Seconds and peak of one step over the documents in a folder."""
    signatures.sign(pa.table({"doc_id": ["x"], "text": ["x " * 600_000]}), CONFIG.num_perm, 5)
    peak, begun = Peak(), time.process_time()
    figures = {}
    if step == "sign":
        for number, table in enumerate(_tables(folder, "documents")):
            made = [
                signatures.sign(table.slice(at, BATCH_ROWS), CONFIG.num_perm, CONFIG.shingle_words)
                for at in range(0, table.num_rows, BATCH_ROWS)
            ]
            pq.write_table(pa.concat_tables(made), folder / f"signatures-{number:05d}.parquet")
    else:
        share = 15 / 16 if step == "before" else 1.0
        signed = gather(
            _tables(folder, "signatures", share), CONFIG.num_perm, folder / "signatures.bin"
        )
        bandings = (
            choose_banding(CONFIG.num_perm, CONFIG.threshold, CONFIG.recall),
            choose_banding(CONFIG.num_perm, SPLIT_JACCARD, CONFIG.split_recall),
        )
        levels = Levels(CONFIG.threshold, SPLIT_JACCARD, CONFIG.containment)
        search = Search(levels, bandings, CONFIG.bucket_cap, CONFIG.shingle_words)
        order = keep_order(signed, ["longest", "doc_id"], {})
        known = None if step == "decide" else folder / "known.bin"
        found = deduplicate(
            signed, order, search, lambda: _tables(folder, "documents"), folder, known
        )
        figures["removed"] = found.removed.num_rows
    seconds = time.process_time() - begun
    peak.stop()
    return {"seconds": seconds, "peak_mb": peak.most - peak.before, **figures}


def measure_apart(folder: Path, step: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dedup_growth", "--step", step, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def grow(documents: int, tries: int) -> list[dict[str, Any]]:
    """A row a size."""
    rows = []
    for times in (1, 4, 16):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_documents(times * documents, folder)
            row: dict[str, Any] = {"name": f"{times}x", "documents": times * documents}
            for step in ("sign", "decide", "before", "refresh"):
                found = [measure_apart(folder, step) for _ in range(tries)]
                best = min(found, key=lambda one: one["seconds"])
                row |= {f"{step}_{what}": value for what, value in best.items()}
            rows.append(row)
    return rows


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=16_000)
    parser.add_argument("--tries", type=int, default=1)
    parser.add_argument("--step", nargs=2, metavar=("STEP", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(measure(Path(args.step[1]), args.step[0])))
        return
    rows = grow(args.documents, args.tries)
    print(
        f"{'documents':>10}{'sign s':>9}{'peak MB':>9}{'decide s':>10}{'peak MB':>9}"
        f"{'refresh s':>11}{'removed':>9}"
    )
    for row in rows:
        print(
            f"{row['documents']:10}{row['sign_seconds']:9.1f}{row['sign_peak_mb']:9.0f}"
            f"{row['decide_seconds']:10.1f}{row['decide_peak_mb']:9.0f}"
            f"{row['refresh_seconds']:11.1f}{row['decide_removed']:9.0f}"
        )
    first, last = rows[0], rows[-1]
    more = last["documents"] - first["documents"]
    values = {
        "decide_seconds_a_document_growth": (last["decide_seconds"] / last["documents"])
        / (first["decide_seconds"] / first["documents"]),
        "decide_bytes_a_document": (last["decide_peak_mb"] - first["decide_peak_mb"]) * 1e6 / more,
    }
    print(
        json.dumps(
            {
                "benchmark": "dedup_growth",
                "input": {"documents": args.documents, "words": WORDS},
                "versions": {"numpy": version("numpy"), "pyarrow": version("pyarrow")},
                "rows": rows,
                "bars": [
                    {
                        "name": name,
                        "value": value,
                        "target": BARS[name],
                        "holds": value <= BARS[name],
                    }
                    for name, value in values.items()
                ],
            }
        )
    )


if __name__ == "__main__":
    main()
