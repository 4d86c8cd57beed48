"""Near-duplicates: precision, recall and signature speed of Ingot, datasketch and datatrove.

    python -m benchmarks.dedup --data DIR [--tries 2] [--without-datatrove]

DIR has sets of texts with the exact Jaccard index (words, shingles of five) of every pair that
matters: NAME.train.gz ("id text" a line) or NAME.jsonl.gz (id, text), with the table of pairs in
NAME.exact_jaccard_w5.tsv, gzipped or not. A pair counts from 0.8 on, in all three: Ingot's `dedup`
by its own defaults (all pairs of a bucket compared, so that there is evidence of all), datasketch's
MinHashLSH (128 values, threshold 0.8) over Ingot's shingles, datatrove's MinHash steps by their
defaults, where a pair is found when both are in one cluster. Precision: of the pairs found, those
that count; recall: of those that count, the ones found; over all sets together.

Speed is that of one process in processor time, over the bytes of the texts in UTF-8, the best of
the tries: Ingot's `sign` on batches as the stage makes them, its Python way, datasketch with those
shingles, datatrove's signature step (in an environment of its own, which pip makes the first time).
The texts of the sets, mostly ASCII, and, where DIR's neighbour `lid` is there, stories in six Indic
scripts, which datatrove is not asked to cut (it needs a tokenizer a language).
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash
from datasketch import MinHash, MinHashLSH

from benchmarks.peer_environment import peer_python
from llm.corpus.dedup import signatures
from llm.corpus.dedup.compiled_signing import kernel
from llm.corpus.dedup.decide import Search, deduplicate
from llm.corpus.dedup.lsh import choose_banding
from llm.corpus.dedup.near import Levels
from llm.corpus.dedup.shingles import shingles
from llm.corpus.dedup.signatures import gather, keep_order
from llm.corpus.split import SPLIT_JACCARD
from llm.process.guarded import BATCH_BYTES, BATCH_ROWS
from tasks.stages.dedup import DedupConfig

DATATROVE = ("datatrove[processing]==0.10.1", "spacy==3.8.18")
THRESHOLD = 0.8
INDIC = ("bn", "hi", "kn", "mr", "ta", "te")
BARS = {
    "precision": 1.0,
    "recall": 0.98,
    "signature_mb_per_s": 25.0,
    "signature_mb_per_s_other_scripts": 8.0,
    "signature_speed_vs_datatrove": 30.0,
}
Pair = frozenset[str]
CONFIG = DedupConfig(threshold=THRESHOLD)


def read_sets(data: Path) -> Iterator[tuple[str, dict[str, str], dict[Pair, float]]]:
    """Name, texts by id, and the known Jaccard of pairs, of each set."""
    found = False
    for path in sorted([*data.glob("*.train.gz"), *data.glob("*.jsonl.gz")]):
        name = path.name.split(".")[0]
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
            if path.name.endswith(".train.gz"):
                texts = dict(line.rstrip("\n").split(" ", 1) for line in stream)
            else:
                texts = {row["id"]: row["text"] for row in map(json.loads, stream)}
        table = data / f"{name}.exact_jaccard_w5.tsv"
        zipped = table.with_name(f"{table.name}.gz")
        raw = table.read_bytes() if table.exists() else gzip.decompress(zipped.read_bytes())
        yield name, texts, _known(raw.decode())
        found = True
    if not found:
        raise SystemExit(f"--data {data}: no NAME.train.gz or NAME.jsonl.gz in it")


def _known(table: str) -> dict[Pair, float]:
    rows = (line.split("\t") for line in table.splitlines())
    return {frozenset((one, other)): float(jaccard) for one, other, jaccard in rows}


def ingot_pairs(texts: dict[str, str]) -> set[Pair]:
    """Pairs at or above the threshold; a pair of copies of two texts is one of the texts."""
    table = pa.table({"doc_id": list(texts), "text": list(texts.values())})
    bandings = (
        choose_banding(CONFIG.num_perm, THRESHOLD, CONFIG.recall),
        choose_banding(CONFIG.num_perm, SPLIT_JACCARD, CONFIG.split_recall),
    )
    search = Search(
        Levels(THRESHOLD, SPLIT_JACCARD, CONFIG.containment),
        bandings,
        len(texts),
        CONFIG.shingle_words,
    )
    with tempfile.TemporaryDirectory() as folder:
        signed = gather(
            [signatures.sign(table, CONFIG.num_perm, CONFIG.shingle_words)],
            CONFIG.num_perm,
            Path(folder) / "rows.bin",
        )
        order = keep_order(signed, ["longest", "doc_id"], {})
        found = deduplicate(signed, order, search, lambda: [table], Path(folder)).pairs.to_pylist()
    copies = defaultdict(set)
    for row in found:
        if row["rule"] == "exact":
            copies[row["other_id"]] |= {row["doc_id"], row["other_id"]}
    pairs = {pair for group in copies.values() for pair in _all_pairs(group)}
    for row in found:
        if row["rule"] == "near":
            left, right = (copies.get(row[name], {row[name]}) for name in ("doc_id", "other_id"))
            pairs |= {frozenset((a, b)) for a in left for b in right if a != b}
    return pairs


def _all_pairs(group: Iterable[str]) -> set[Pair]:
    return {frozenset(pair) for pair in combinations(sorted(group), 2)}


def _sketch(text: str) -> MinHash:
    made = MinHash(CONFIG.num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
    made.update_batch(shingles(text, CONFIG.shingle_words))
    return made


def datasketch_pairs(texts: dict[str, str]) -> set[Pair]:
    """What MinHashLSH takes for alike; it compares no texts."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=CONFIG.num_perm)
    pairs = set()
    for name, text in texts.items():
        sketch = _sketch(text)
        pairs |= {frozenset((name, other)) for other in index.query(sketch)}
        index.insert(name, sketch)
    return pairs


def datatrove(
    sets: dict[str, list[str]], tries: int, folder: Path
) -> tuple[dict[str, dict[str, Any]], str]:
    """Of each set its clusters and seconds; datatrove's version."""
    python = peer_python("datatrove", DATATROVE)
    (folder / "texts.json").write_text(json.dumps(sets))
    program = Path(__file__).with_name("dedup_datatrove.py")
    command = [python, program, folder / "texts.json", folder / "result.json", folder, str(tries)]
    subprocess.run(command, check=True, capture_output=True)
    result = json.loads((folder / "result.json").read_text())
    return result["sets"], result["version"]


def clusters_to_pairs(names: Sequence[str], clusters: Sequence[int | None]) -> set[Pair]:
    members = defaultdict(list)
    for name, cluster in zip(names, clusters, strict=True):
        if cluster is not None:
            members[cluster].append(name)
    return {pair for group in members.values() for pair in _all_pairs(group)}


def batches(texts: Sequence[str]) -> list[pa.Table]:
    """Cut as the stage's net does it."""
    made, rows, size = [], list[str](), 0
    for text in [*texts, ""]:
        length = len(text.encode())
        if rows and (len(rows) == BATCH_ROWS or size + length > BATCH_BYTES or not text):
            made.append(pa.table({"doc_id": [""] * len(rows), "text": rows}))
            rows, size = [], 0
        rows.append(text)
        size += length
    return made


def seconds_of(function: Callable[[], object], tries: int) -> float:
    """Processor seconds of the fastest try."""
    times = []
    for _ in range(tries):
        begun = time.process_time()
        function()
        times.append(time.process_time() - begun)
    return min(times)


def by_python(texts: Sequence[str]) -> None:
    for table in batches(texts):
        signatures.signed_by_python(
            table.column("text").combine_chunks(), CONFIG.num_perm, CONFIG.shingle_words
        )


def by_kernel(tables: Sequence[pa.Table]) -> None:
    for table in tables:
        signatures.sign(table, CONFIG.num_perm, CONFIG.shingle_words)


def speeds(texts: Sequence[str], tries: int) -> dict[str, float]:
    """MB/s of Ingot's two ways, and of datasketch."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    tables = batches(texts)
    return {
        "ingot": size / seconds_of(lambda: by_kernel(tables), tries),
        "ingot, no compiler": size / seconds_of(lambda: by_python(texts), tries),
        "datasketch": size / seconds_of(lambda: [_sketch(text) for text in texts], tries),
    }


def other_scripts(data: Path) -> list[str]:
    path = data.parent / "lid" / "storybooks_12lang.jsonl.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [row["text"] for row in map(json.loads, stream) if row["lang"] in INDIC]


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tries", type=int, default=2)
    parser.add_argument("--without-datatrove", action="store_true")
    args = parser.parse_args()
    if kernel() is not None:
        signatures.worthwhile_kernel(1 << 30)  # what is measured is not the first MiB
    sets = list(read_sets(args.data))
    everything = [text for _, texts, _ in sets for text in texts.values()]
    size = sum(len(text.encode()) for text in everything) / 1e6
    speed = speeds(everything, args.tries)
    versions = {"datasketch": version("datasketch")}
    tools: dict[str, Callable[[str, dict[str, str]], set[Pair]]] = {
        "ingot": lambda name, texts: ingot_pairs(texts),
        "datasketch": lambda name, texts: datasketch_pairs(texts),
    }
    if not args.without_datatrove:
        with tempfile.TemporaryDirectory() as folder:
            theirs, versions["datatrove"] = datatrove(
                {name: list(texts.values()) for name, texts, _ in sets}, args.tries, Path(folder)
            )
        speed["datatrove"] = size / sum(found["seconds"] for found in theirs.values())
        tools["datatrove"] = lambda name, texts: clusters_to_pairs(
            list(texts), theirs[name]["clusters"]
        )
    rows = []
    for tool, find in tools.items():
        wanted = found = hits = 0
        for name, texts, known in sets:
            true = {pair for pair, jaccard in known.items() if jaccard >= THRESHOLD}
            pairs = find(name, texts)
            wanted, found, hits = wanted + len(true), found + len(pairs), hits + len(true & pairs)
        rows.append(
            {
                "name": tool,
                "pairs": wanted,
                "found": found,
                "precision": hits / max(found, 1),
                "recall": hits / max(wanted, 1),
                "signature_mb_per_s": speed[tool],
            }
        )
    rows.append({"name": "ingot, no compiler", "signature_mb_per_s": speed["ingot, no compiler"]})
    print(f"{'':20}{'precision':>11}{'recall':>9}{'MB/s':>9}")
    for row in rows:
        shares = (f"{row[x]:.4f}" if x in row else "" for x in ("precision", "recall"))
        print("{:20}{:>11}{:>9}{:9.2f}".format(row["name"], *shares, row["signature_mb_per_s"]))
    values = {
        "precision": rows[0]["precision"],
        "recall": rows[0]["recall"],
        "signature_mb_per_s": speed["ingot"],
    }
    if "datatrove" in speed:
        values["signature_speed_vs_datatrove"] = speed["ingot"] / speed["datatrove"]
    if others := other_scripts(args.data):
        for tool, rate in speeds(others, args.tries).items():
            print(f"other scripts, {tool:20}{rate:9.2f} MB/s")
            rows.append({"name": f"other scripts: {tool}", "signature_mb_per_s": rate})
        values["signature_mb_per_s_other_scripts"] = rows[-3]["signature_mb_per_s"]
    else:
        print(f"no other scripts: {args.data.parent / 'lid'} is not there")
    print(
        json.dumps(
            {
                "benchmark": "dedup",
                "input": {
                    "texts": len(everything),
                    "megabytes": size,
                    "threshold": THRESHOLD,
                },
                "versions": versions,
                "rows": rows,
                "bars": [
                    {
                        "name": name,
                        "value": value,
                        "target": BARS[name],
                        "holds": value >= BARS[name],
                    }
                    for name, value in values.items()
                ],
            }
        )
    )


if __name__ == "__main__":
    main()
