"""Unpacking packed sequences into the files a trainer maps, beside copying as many bytes.

    python -m benchmarks.token_file [--tokens 1e8] [--folder DIR]

Writes Parquet parts as `pack` does (once; kept with --keep), unpacks a tenth of them and all of
them, each in a process of its own, and copies the bytes that came out, with fsync, in the same
run. Prints tokens and MB a second, and the peak memory of the process: with ten times the tokens
it is to be the same. Beside them, how fast Arrow alone reads the tokens on all cores and does
nothing with them: where that is slower than the copy, cores and not the disk are the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LENGTH, VOCABULARY, SEGMENTS, AT_ONCE = 1_024, 32_768, 3, 500


def tables(rows: int) -> Iterator[pa.Table]:
    """Rows as `pack` has them, three documents each; tokens by Zipf's law."""
    from llm.tokens.sequences import SEQUENCES

    draw, columns = np.random.default_rng(0), LENGTH + 1
    shares = 1 / np.arange(1, VOCABULARY + 1)
    pool = np.searchsorted(np.cumsum(shares / shares.sum()), draw.random(4_000_000))
    pool = np.minimum(pool, VOCABULARY - 1).astype(np.int32)
    for first in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - first)
        start = int(draw.integers(len(pool) - count * columns))
        cuts = np.sort(draw.integers(1, columns - 1, size=(count, SEGMENTS - 1)), axis=1)
        cuts[:, 1] = np.maximum(cuts[:, 1], cuts[:, 0] + 1)
        edges = np.column_stack([np.zeros(count, np.int64), cuts, np.full(count, columns)])
        lengths = np.diff(edges, axis=1).astype(np.int32).ravel()
        names = [f"{number:032x}" for number in draw.integers(2**62, size=len(lengths))]
        row = pa.array(np.arange(count + 1, dtype=np.int32) * columns)
        segment = pa.array(np.arange(count + 1, dtype=np.int32) * SEGMENTS)
        tokens = pa.array(pool[start : start + count * columns])
        yield pa.table(
            [
                pa.array(np.arange(first, first + count)),
                pa.array(["train"] * count),
                pa.ListArray.from_arrays(row, tokens),
                pa.ListArray.from_arrays(segment, pa.array(names)),
                pa.ListArray.from_arrays(segment, pa.array(np.zeros_like(lengths))),
                pa.ListArray.from_arrays(segment, pa.array(lengths)),
            ],
            schema=SEQUENCES,
        )


def write_parts(folder: Path, tokens: int) -> list[Path]:
    """The parts; those of an earlier call with as many tokens are taken as they are."""
    from llm.tokens.sequences import SEQUENCES
    from tasks.engine.shards.parts import PartWriter

    told = folder / "tokens.json"
    if not told.exists() or json.loads(told.read_text()) != tokens:
        shutil.rmtree(folder, ignore_errors=True)
        with PartWriter(folder, "part-00000", SEQUENCES, "sequences") as writer:
            for table in tables(tokens // (LENGTH + 1)):
                writer.write(table)
        told.write_text(json.dumps(tokens))
    return sorted(folder.glob("*.parquet"))


def unpack_here(parts: list[Path], folder: Path) -> dict[str, float]:
    """Of this very process: seconds, tokens, bytes written, and its peak memory in MB."""
    from llm.tokens.token_file import build

    before = _peak()
    start = time.perf_counter()
    made = build(parts, folder, "0" * 64, VOCABULARY)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "tokens": float(made.train.size),
        "bytes": float(sum(path.stat().st_size for path in made.folder.iterdir())),
        "peak_mb": _peak(),
        "of_imports_mb": before,
    }


def _peak() -> float:
    """Peak memory in MB. A process begins with the `ru_maxrss` of the one that started it, so
    Linux is asked for that of the program."""
    status = Path("/proc/self/status")
    if status.exists():
        [peak] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(peak.split()[1]) * 1_024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on a Mac


def unpack(parts: list[Path], folder: Path) -> dict[str, float]:
    """The same in a process of its own."""
    request = json.dumps({"parts": [str(part) for part in parts], "folder": str(folder)})
    command = [sys.executable, str(Path(__file__).resolve()), "--here"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        command, input=request, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def copy(source: Path, target: Path) -> float:
    """Seconds to copy a file, as `dd bs=8M conv=fsync` does."""
    start = time.perf_counter()
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while piece := reading.read(8 << 20):
            writing.write(piece)
        os.fsync(writing.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def read(parts: list[Path]) -> float:
    """Seconds that Arrow takes to decode the tokens of all parts, a row group a thread."""

    def decode(group: tuple[Path, int]) -> None:
        path, number = group
        with pq.ParquetFile(path) as file:
            file.read_row_group(number, columns=["tokens"], use_threads=False)

    counts = {path: pq.read_metadata(path).num_row_groups for path in parts}
    groups = [(path, number) for path, count in counts.items() for number in range(count)]
    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, groups):
            pass
    return time.perf_counter() - start


def measure(tokens: int, place: Path) -> dict[str, Any]:
    """The record that the last line shows."""
    parts = write_parts(place / "parts", tokens)
    tenth = unpack(parts[: max(1, len(parts) // 10)], place / "tenth")
    shutil.rmtree(place / "tenth")
    whole = unpack(parts, place / "whole")
    file = next((place / "whole").glob("*/train.tokens"))
    size = file.stat().st_size
    copied = size / copy(file, place / "copy") / 1e6
    shutil.rmtree(place / "whole")
    decoded = size / read(parts) / 1e6
    rows = []
    for name, found in (("a tenth", tenth), ("all", whole)):
        rows.append(
            {
                "name": name,
                "tokens": int(found["tokens"]),
                "tokens_per_second": round(found["tokens"] / found["seconds"]),
                "mb_per_second": round(found["bytes"] / found["seconds"] / 1e6, 1),
                "peak_mb": round(found["peak_mb"], 1),
                "of_imports_mb": round(found["of_imports_mb"], 1),
            }
        )
    rows.append({"name": "copy with fsync", "mb_per_second": round(copied, 1)})
    rows.append({"name": "Arrow alone, unwritten", "mb_per_second": round(decoded, 1)})
    ratio = round(whole["bytes"] / whole["seconds"] / 1e6 / copied, 3)
    growth = round(whole["peak_mb"] / tenth["peak_mb"], 3)
    return {
        "benchmark": "token_file",
        "input": {"tokens": tokens, "sequence_length": LENGTH, "processors": os.cpu_count()},
        "versions": {"pyarrow": pa.__version__, "numpy": np.__version__},
        "rows": rows,
        "bars": [
            {"name": "speed_vs_copy", "value": ratio, "target": 1.0, "holds": ratio >= 1.0},
            {"name": "memory_ten_times", "value": growth, "target": 1.2, "holds": growth <= 1.2},
        ],
    }


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=float, default=1e8)
    parser.add_argument("--folder", type=Path, help="where to; elsewhere is another disk")
    parser.add_argument("--keep", action="store_true", help="keep the Parquet parts there")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.here:
        request = json.loads(sys.stdin.read())
        parts = [Path(part) for part in request["parts"]]
        print(json.dumps(unpack_here(parts, Path(request["folder"]))))
        return
    with tempfile.TemporaryDirectory(dir=wanted.folder) as temporary:
        place = wanted.folder if wanted.keep and wanted.folder else Path(temporary)
        record = measure(int(wanted.tokens), place)
    for row in record["rows"]:
        print("  ".join(f"{name} {value:,}" if name != "name" else f"{value:<24}"
                        for name, value in row.items()))  # fmt: skip
    print(json.dumps(record))


if __name__ == "__main__":
    main()
