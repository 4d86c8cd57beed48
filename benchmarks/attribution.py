"""Indexing training texts and finding in which of them an answer stands.

    python -m benchmarks.attribution [--recipe quickstart] [--tokens 1e8] [--answers 20]

Two inputs: the training documents of a recipe that is built, with its tokenizer; and documents of
800 words drawn by Zipf's law, a word a token, in parts of 2,000. Each is indexed as the stage does
it. Answers of 300 tokens are then attributed, tokenising and reading the documents' rows included:
four stretches of 40 tokens, each planted from a document, between words of other documents in an
order of chance. Build speed is by processor time of the one process, so that whatever else runs
does not count, once the library that sorts is loaded; a look-up is the median of all answers by the
clock, files in the page cache. Beside it stands its processor time: on a busy machine a process is
late by the turns of others.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.cli.built import first_built
from llm.corpus.attribution.block import library
from llm.corpus.attribution.block_file import END, suffixes, write_blocks
from llm.corpus.attribution.sources import Bounds, Sources
from llm.corpus.attribution.tables import INDEXED, TRAINED
from llm.rows import rows_with
from llm.tables import TRAIN
from llm.tokens.token_bounds import token_bounds
from tasks.attributing import RULE
from tasks.engine.store.manifest import ROWS_PER_PART

WORDS, VOCABULARY = 800, 50_000
ANSWER, PLANTED, STRETCHES = 300, 40, 4
TARGETS = {
    "build_mb_per_s": (8.0, True),
    "bytes_per_byte": (5.0, False),
    "lookup_ms": (50.0, False),
    "lookup_ms_synthetic": (300.0, False),
    "planted_found": (1.0, True),
}
_WORD = re.compile(rb"\s*\S+")

# Texts of a part, with doc_id and URL of each.
Part = list[tuple[str, str, bytes]]


def recipe_parts(recipe: str) -> Iterator[Part]:
    """Training documents of a recipe, as its parts have them."""
    built = first_built(recipe, "latest", ("decontaminate", "dedup"))
    for table in built.data("documents").tables(["doc_id", "url", "text", "split"]):
        rows = rows_with(table, "split", TRAIN).to_pylist()
        yield [(row["doc_id"], row["url"] or "", row["text"].encode()) for row in rows]


def drawn_parts(tokens: int) -> Iterator[Part]:
    """Documents of drawn words; the more frequent a word, the shorter."""
    chance = np.random.default_rng(0)
    weights = 1 / np.arange(1, VOCABULARY + 1)
    shares = np.cumsum(weights) / weights.sum()
    names = [_name(number) for number in range(VOCABULARY)]
    documents = max(1, tokens // WORDS)
    for first in range(0, documents, ROWS_PER_PART):
        count = min(ROWS_PER_PART, documents - first)
        drawn = np.searchsorted(shares, chance.random((count, WORDS))).clip(max=VOCABULARY - 1)
        part = []
        for number, row in enumerate(drawn.tolist(), first):
            text = " ".join(map(names.__getitem__, row)).encode()
            part.append((f"{number:032x}", f"https://site{number % 997}.example/{number}", text))
        yield part


def _name(number: int) -> str:
    letters = ""
    while True:
        number, letter = divmod(number, 26)
        letters += chr(ord("a") + letter)
        if not number:
            return letters
        number -= 1


def words(data: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Bounds of words, for texts whose tokens are words."""
    return np.array([0, *(found.end() for found in _WORD.finditer(data))], np.int64)


@dataclass(frozen=True)
class Built:
    """An index, what it cost, and some documents to plant from."""

    sources: Sources
    row: dict[str, Any]
    kept: Sequence[str]


def build(name: str, parts: Iterator[Part], folder: Path, bounds: Bounds) -> Built:
    """Index texts as the stage does: blocks and a table a part."""
    suffixes(np.array([END], np.uint8))
    seconds, size, stored, documents = 0.0, 0, 0, 0
    kept: list[str] = []
    blocks, tables = folder / name, folder / f"{name}-rows"
    tables.mkdir(parents=True)
    for number, part in enumerate(parts):
        if not part:
            continue
        before = time.process_time()
        stem = f"part-{number:05d}"
        for block in write_blocks((text for _, _, text in part), blocks / TRAINED / stem):
            stored += sum(path.stat().st_size for path in block.paths())
        seconds += time.process_time() - before
        rest = {"title": None, "source": name, "licence": None}
        rows = [{"doc_id": doc_id, "url": url, **rest} for doc_id, url, _ in part]
        path = tables / f"{stem}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, INDEXED), path, compression="zstd")
        stored += path.stat().st_size
        size += sum(len(text) for _, _, text in part)
        documents += len(part)
        kept += [text.decode() for _, _, text in part[:: max(1, len(part) // 20)]]
    row = {
        "name": name,
        "documents": documents,
        "mb": round(size / 1e6, 1),
        "build_mb_per_s": round(size / 1e6 / seconds, 2),
        "bytes_per_byte": round(stored / size, 3),
    }
    return Built(Sources(blocks, {TRAINED: tables}, bounds), row, kept)


def answers(kept: Sequence[str], bounds: Bounds, count: int) -> Iterator[tuple[str, list[str]]]:
    """Answers, and the stretches planted in each."""
    chance = np.random.default_rng(1)
    long = [text for text in kept if len(bounds(text.encode())) > 2 * PLANTED]
    pool = [word for text in kept for word in text.split()]
    between = (ANSWER - STRETCHES * PLANTED) // (STRETCHES + 1)
    for _ in range(count):
        pieces, planted = [], []
        for place in range(STRETCHES + 1):
            mixed = " ".join(pool[at] for at in chance.integers(len(pool), size=between))
            # Whatever the words are to the tokenizer, so many of its tokens.
            data = mixed.encode()
            edges = bounds(data)
            pieces.append(data[: edges[min(between, len(edges) - 1)]].decode())
            if place == STRETCHES:
                break
            text = long[int(chance.integers(len(long)))].encode()
            edges = bounds(text)
            at = int(chance.integers(len(edges) - PLANTED - 1))
            stretch = text[edges[at] : edges[at + PLANTED]].decode()
            planted.append(stretch.strip())
            pieces.append(stretch)
        yield " ".join(pieces), planted


def look_up(built: Built, bounds: Bounds, count: int) -> None:
    """Attribute answers, and add what came of it to the row."""
    asked = list(answers(built.kept, bounds, count))
    built.sources.attribute(asked[0][0], RULE)  # reads files and starts the compiler
    seconds, of_processor, found, planted_count = [], [], 0, 0
    for text, planted in asked:
        start, before = time.perf_counter(), time.process_time()
        told = built.sources.attribute(text, RULE)
        seconds.append(time.perf_counter() - start)
        of_processor.append(time.process_time() - before)
        spans = [span.text for span in told.spans if span.sources]
        # A span too common to be shown is found too: there is nothing else to count.
        planted_count += len(planted)
        found += sum(any(stretch in span for span in spans) for stretch in planted)
    built.row["tokens_an_answer"] = round(
        statistics.mean(len(bounds(text.encode())) - 1 for text, _ in asked)
    )
    built.row["lookup_ms"] = round(1e3 * statistics.median(seconds), 1)
    built.row["lookup_processor_ms"] = round(1e3 * statistics.median(of_processor), 1)
    built.row["slowest_ms"] = round(1e3 * max(seconds), 1)
    built.row["planted"] = planted_count
    built.row["planted_found"] = found / planted_count


def measure(recipe: str, tokens: int, count: int, folder: Path) -> dict[str, Any]:
    """The record that the last line shows."""
    tokenizer = first_built(recipe, "latest", ("tokenizer",)).data("tokenizer").folder()
    inputs: list[tuple[str, Iterator[Part], Bounds]] = [
        (recipe, recipe_parts(recipe), partial(token_bounds, folder=tokenizer)),
        ("synthetic", drawn_parts(tokens), words),
    ]
    rows = []
    for name, parts, bounds in inputs:
        built = build(name, parts, folder, bounds)
        look_up(built, bounds, count)
        print("  ".join(f"{key} {value}" for key, value in built.row.items()), flush=True)
        rows.append(built.row)
    real, drawn = rows
    values = {
        "build_mb_per_s": min(row["build_mb_per_s"] for row in rows),
        "bytes_per_byte": max(row["bytes_per_byte"] for row in rows),
        "lookup_ms": real["lookup_ms"],
        "lookup_ms_synthetic": drawn["lookup_ms"],
        "planted_found": min(row["planted_found"] for row in rows),
    }
    return {
        "benchmark": "attribution",
        "input": {
            "recipe": recipe,
            "tokens": tokens,
            "answers": count,
            "in_c": bool(library()),
        },
        "versions": {name: version(name) for name in ("pydivsufsort", "numpy", "pyarrow")},
        "rows": rows,
        "bars": [
            {
                "name": name,
                "value": value,
                "target": TARGETS[name][0],
                "holds": value >= TARGETS[name][0]
                if TARGETS[name][1]
                else value <= TARGETS[name][0],
            }
            for name, value in values.items()
        ],
    }


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="quickstart", help="that is built in the home")
    parser.add_argument("--tokens", type=float, default=1e8, help="of the drawn documents")
    parser.add_argument("--answers", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where the index is written for the while")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.folder) as temporary:
        record = measure(wanted.recipe, int(wanted.tokens), wanted.answers, Path(temporary))
    print(json.dumps(record))


if __name__ == "__main__":
    main()
