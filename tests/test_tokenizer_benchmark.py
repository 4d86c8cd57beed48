"""The benchmark of tokens: what it reads, and a run to its end."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.tokenizer import bars, batches, chosen, of_numbers, texts_below, turned
from llm.tokens.text_file import TextFile, write_texts
from tests.llm.tokens.small_tokenizer import library_texts

ROOT = Path(__file__).resolve().parents[1]


def test_texts_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    rows = [{"text": "one", "id": "x"}, {"question": "two?", "answer": "four", "n": 3}]
    packed = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "a" / "rows.jsonl.gz").write_bytes(gzip.compress(packed))
    (tmp_path / "plain.txt").write_text("three")
    (tmp_path / "other.csv").write_text("not read")
    assert list(texts_below(tmp_path)) == ["one", "two?\nfour", "three"]
    assert sorted(chosen(iter(["a", "bb", "a", "", "c" * 9]), 5)) == ["a", "bb"]
    assert of_numbers(["1999 was it", "none here"]) == ["1999 was it"]


def test_other_words_of_equal_lengths(tmp_path: Path) -> None:
    assert turned("Abz, 12 é", 1) == "Bca, 12 é"
    assert turned("Abz", 0) == "Abz"
    write_texts([pa.table({"text": ["x" * 9, "y"] * 300})], tmp_path / "texts.arrow")
    sizes = [len(batch) for batch in batches(TextFile(tmp_path / "texts.arrow"))]
    assert sizes == [256, 256, 88]


def test_growth_of_memory_is_to_be_small() -> None:
    figures = {"encode_vs_tokenizers": 41, "train_vs_tokenizers": 1, "equal_ids": 1}
    good = bars({**figures, "memory_growth": 1.0})
    assert all(bar["holds"] for bar in good)
    assert not all(bar["holds"] for bar in bars({**figures, "memory_growth": 2.0}))


@pytest.mark.long
def test_the_benchmark_runs_to_its_end(tmp_path: Path) -> None:
    for number, text in enumerate(library_texts()):
        (tmp_path / f"{number}.txt").write_text(text)
    (tmp_path / "numbers.txt").write_text("".join(f"{n * 7919} and {n}\n" for n in range(3000)))
    command = [sys.executable, "-m", "benchmarks.tokenizer", "--data", str(tmp_path)]
    small = ["--megabytes", "1", "--vocabulary", "1024", "--growth", "3"]
    done = subprocess.run([*command, *small], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    found = {bar["name"]: bar["value"] for bar in record["bars"]}
    assert found["equal_ids"] == 1.0
    assert found["encode_vs_tokenizers"] > 1
    rows = {row["name"]: row for row in record["rows"]}
    single, triple = (rows[f"digits {name}"] for name in ("single", "triple"))
    assert triple["bytes_per_token_numbers"] > single["bytes_per_token_numbers"]
    assert rows["train ingot single"]["vocabulary"] == 1024
