"""What it saves to read the files of a source once, and to keep their records meanwhile.

    python -m benchmarks.source_passes [--pages 500] [--tries 3]

Makes two sources of three gzipped files each, WARC and JSON lines, and a second crawl of either of
which nine pages in ten are in the first. Four builds: the first crawl (nothing is repeated); the
second, where the first is in the store; both at once; and small files, a page each. Each is done
twice in turn: reading a file again after its captures are listed, and keeping what was read. Prints
processor seconds of one worker (the least of the tries), how often a file was read at most, and how
large what was kept is, against the gzipped files that it is made of.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.source.open import Origin, read_records
from llm.corpus.source.records import Record
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards.unit import Emitted, Kept, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.engine.store.store import Store
from tasks.stages import source
from tasks.stages.source_config import SourceConfig
from tasks.stages.source_items import externals

_FILES, _SMALL = 3, 400
# Zipf's law: pages compress as text does.
_WEIGHTS = list(accumulate(1 / rank for rank in range(1, 8_001)))


def _page(draw: random.Random, words: list[str]) -> str:
    paragraphs = [
        " ".join(draw.choices(words, cum_weights=_WEIGHTS, k=80))
        for _ in range(draw.randint(5, 60))
    ]
    body = "".join(f'<div class="block"><p>{paragraph}</p></div>\n' for paragraph in paragraphs)
    return f"<html><head><title>{words[0]}</title></head><body><nav>menu</nav>{body}</body></html>"


def _record(url: str, page: str, month: int) -> bytes:
    block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{page}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2024-{month:02}-01T00:00:00Z\r\nWARC-Record-ID: <urn:{url}>\r\n"
        f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0)


def _write_file(path: Path, pages: dict[str, str], month: int) -> None:
    if path.name.endswith(".warc.gz"):
        path.write_bytes(b"".join(_record(url, page, month) for url, page in pages.items()))
        return
    day = f"2024-{month:02}-01"
    rows = [{"url": url, "text": page, "date": day} for url, page in pages.items()]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


def _write(folder: Path, pages: int) -> None:
    draw = random.Random(7)
    words = ["".join(draw.choices("aeioubdfklmnprst", k=draw.randint(2, 10))) for _ in _WEIGHTS]
    for name in ("first", "second", "small"):
        (folder / name).mkdir()
    for ending in ("warc.gz", "jsonl.gz"):
        for number in range(_FILES):
            first = {f"http://{ending}/{number}/{n}": _page(draw, words) for n in range(pages)}
            _write_file(folder / "first" / f"first-{number}.{ending}", first, 5)
            second = {
                url: page if n % 10 else _page(draw, words)
                for n, (url, page) in enumerate(first.items())
            }
            _write_file(folder / "second" / f"second-{number}.{ending}", second, 6)
        for number in range(_SMALL // 2):
            page = {f"http://{ending}/small/{number}": _page(draw, words)}
            _write_file(folder / "small" / f"{number:03}.{ending}", page, 7)


def list_alone(unit: Unit, **arguments: Any) -> Iterator[Emitted]:
    """Captures, and nothing that is kept."""
    return (one for one in source.list_captures(unit, **arguments) if not isinstance(one, Kept))


class _ReadingTwice:
    """An `Out` for which nothing is kept."""

    def __init__(self, out: Out) -> None:
        self._out = out

    def map(self, function: Any, *args: Any, from_kept: bool = False, **named: Any) -> None:
        self._out.map(list_alone if function is source.list_captures else function, *args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def _run_twice(config: SourceConfig, inputs: Inputs, out: Out) -> None:
    source.run(config, inputs, _ReadingTwice(out))  # type: ignore[arg-type]


_WAYS = {"read again": replace(source.STAGE, run=_run_twice), "kept": source.STAGE}
_BUILDS = {
    "first crawl": ((), ("first",)),
    "second, 90 % repeated": (("first",), ("first", "second")),
    "both at once": ((), ("first", "second")),
    f"{_SMALL} files of a page": ((), ("small",)),
}


class _Watch:
    """Counts how often each file is read, and weighs what is kept when all are listed."""

    def __init__(self, home: Path) -> None:
        self.reads: Counter[str] = Counter()
        self.kept = 0
        self._home = home

    def read_records(self, path: Path, name: str, origin: Origin, limit: int) -> Iterator[Record]:
        self.reads[str(path)] += 1
        return read_records(path, name, origin, limit)

    def repeated_captures(self, captures: pa.Table) -> pa.Table:
        self.kept = sum(path.stat().st_size for path in self._home.rglob("intermediate/*.arrow"))
        return _REPEATED_CAPTURES(captures)


_REPEATED_CAPTURES = source.repeated_captures


def _request(stage: Stage, folder: Path, crawls: tuple[str, ...]) -> BuildRequest:
    specs = [
        {"name": name, "row_type": "text/html", "paths": [str(folder / c / ending) for c in crawls]}
        for name, ending in (("archives", "*.warc.gz"), ("rows", "*.jsonl.gz"))
    ]
    config = SourceConfig.model_validate({"workers": 1, "sources": specs})
    return BuildRequest(stage, config, {}, externals(config))


def _seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _measure(stage: Stage, home: Path, folder: Path, build: str) -> dict[str, Any]:
    before, crawls = _BUILDS[build]
    store, watch = Store(str(home)), _Watch(home)
    if before:
        execute(_request(stage, folder, before), store)
    order = _request(stage, folder, crawls)
    source.read_records = watch.read_records  # type: ignore[attr-defined]
    source.repeated_captures = watch.repeated_captures  # type: ignore[attr-defined]
    began = _seconds()
    made = execute(order, store).artifact
    return {
        "seconds": _seconds() - began,
        "reads": max(watch.reads.values()),
        "kept": watch.kept / sum(Path(path).stat().st_size for path in watch.reads),
        "ids": {name: output.data_id for name, output in made.manifest.outputs.items()},
    }


def main() -> None:
    """Build in turn, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=500, help="of each file")
    parser.add_argument("--tries", type=int, default=3)
    args = parser.parse_args()
    rows, bars = [], []
    print(f"{'':<24}{'read again':>12}{'kept':>8}{'saved':>8}{'reads':>8}{'size':>8}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        _write(folder, args.pages)
        os.environ["INGOT_CACHE"] = f"{place}/cache"
        execute(_request(source.STAGE, folder, ("small",)), Store(f"{place}/warm"))
        for build in _BUILDS:
            found: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
            for number in range(args.tries):
                for way, stage in _WAYS.items():
                    home = Path(place) / f"{build}-{way}-{number}"
                    found[way].append(_measure(stage, home, folder, build))
            if any(
                one["ids"] != found["kept"][0]["ids"] for many in found.values() for one in many
            ):
                raise SystemExit(f"{build}: the two ways do not make the same")
            least = {way: min(one["seconds"] for one in many) for way, many in found.items()}
            kept, again = found["kept"][0], found["read again"][0]
            saved = 1 - least["kept"] / least["read again"]
            print(
                f"{build:<24}{least['read again']:>12.2f}{least['kept']:>8.2f}{saved:>8.0%}"
                f"{again['reads']:>5}, {kept['reads']}{kept['kept']:>8.2f}"
            )
            rows.append({"name": build, "seconds": least, "size": kept["kept"]})
            bars.append({"name": f"{build}: reads", "value": kept["reads"], "target": 1})
    for bar in bars:
        bar["holds"] = bar["value"] <= bar["target"]
    versions = {"pyarrow": pa.__version__}
    record = {"benchmark": "source_passes", "input": {"pages": args.pages}, "versions": versions}
    print(json.dumps({**record, "rows": rows, "bars": bars}))


if __name__ == "__main__":
    main()
