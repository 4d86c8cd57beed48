"""The benchmarks of near-duplicates: the pairs they count, and a run to its end."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.dedup import clusters_to_pairs, ingot_pairs
from llm.corpus.dedup.shingles import shingles

ROOT = Path(__file__).resolve().parents[1]


def _text(start: int, stop: int) -> str:
    return " ".join(f"word{number}" for number in range(start, stop))


TEXTS = {
    "a": _text(0, 100),
    "b": _text(1, 100),
    "c": _text(1, 100).upper(),
    "d": _text(30, 130),
    "e": _text(500, 600),
}


def test_copies_are_pairs_with_all_that_their_text_is_alike() -> None:
    found = {"".join(sorted(pair)) for pair in ingot_pairs(TEXTS)}
    assert found == {"ab", "ac", "bc"}
    clusters = {"".join(sorted(pair)) for pair in clusters_to_pairs("abcde", [1, 1, None, 1, 2])}
    assert clusters == {"ab", "ad", "bd"}


def _run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_the_benchmark_runs_to_its_end(tmp_path: Path) -> None:
    sets = {name: shingles(text, 5) for name, text in TEXTS.items()}
    known = "".join(
        f"{one}\t{other}\t{len(sets[one] & sets[other]) / len(sets[one] | sets[other]):.6f}\n"
        for one in TEXTS
        for other in TEXTS
        if one < other
    )
    lines = "".join(f"{name} {text}\n" for name, text in TEXTS.items())
    (tmp_path / "articles_5.train.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "articles_5.exact_jaccard_w5.tsv").write_text(known)
    rows = "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in TEXTS.items())
    (tmp_path / "mdn_twins.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    (tmp_path / "mdn_twins.exact_jaccard_w5.tsv.gz").write_bytes(gzip.compress(known.encode()))
    result = _run(
        *("benchmarks.dedup", "--data", str(tmp_path), "--tries", "1", "--without-datatrove")
    )
    bars = {bar["name"]: bar for bar in result["bars"]}
    assert bars.keys() == {"precision", "recall", "signature_mb_per_s"}
    assert bars["precision"]["value"] == bars["recall"]["value"] == 1.0
    assert result["rows"][0]["pairs"] == 6


@pytest.mark.long
def test_the_benchmark_of_growth_runs_to_its_end() -> None:
    result = _run("benchmarks.dedup_growth", "--documents", "500")
    assert [row["documents"] for row in result["rows"]] == [500, 2_000, 8_000]
    assert all(row["decide_removed"] > 0 for row in result["rows"][1:])
    assert len(result["bars"]) == 2
