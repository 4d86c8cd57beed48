"""What reading the files of a source twice costs, and what the other ways would.

    python -m benchmarks.source_passes [--pages 1000]

Makes two sources of three files each, WARC and JSON lines, gzipped; no capture is in two files.
Prints processor seconds of one worker: listing all captures; reading and writing the pages,
which a single pass would have to do as well; writing the finished parts once more, which taking
repeats out of them would; and cleaning those pages, for comparison.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards.unit import Unit
from tasks.engine.store.manifest import COMPRESSION, COMPRESSION_LEVEL, ROWS_PER_GROUP, Manifest
from tasks.engine.store.store import Store
from tasks.stages import clean, source

_FILES = 3


def _page(draw: random.Random, words: list[str]) -> str:
    paragraphs = [" ".join(draw.choices(words, k=80)) for _ in range(draw.randint(5, 60))]
    body = "".join(f'<div class="block"><p>{paragraph}</p></div>\n' for paragraph in paragraphs)
    return f"<html><head><title>{words[0]}</title></head><body><nav>menu</nav>{body}</body></html>"


def _record(url: str, page: str) -> bytes:
    block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{page}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2024-05-01T00:00:00Z\r\nWARC-Record-ID: <urn:{url}>\r\n"
        f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0)


def _write(folder: Path, pages: int) -> None:
    draw = random.Random(7)
    words = ["".join(draw.choices("aeioubdfklmnprst", k=draw.randint(2, 10))) for _ in range(8000)]
    for number in range(_FILES):
        records = [_record(f"http://a{number}.org/{n}", _page(draw, words)) for n in range(pages)]
        (folder / f"{number}.warc.gz").write_bytes(b"".join(records))
        rows = [
            {"url": f"http://b{number}.org/{n}", "text": _page(draw, words)} for n in range(pages)
        ]
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))


def _seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _written_again(parts: list[Path], target: Path) -> None:
    for part in parts:
        table = pq.ParquetFile(part).read()
        pq.write_table(
            table,
            target,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
            row_group_size=ROWS_PER_GROUP,
        )


def _listed(folder: Path, limit: int, fields: dict[str, object]) -> None:
    for path in sorted(folder.iterdir()):
        unit = Unit(f"{fields['name']}/{path.name}", path, None, "")
        for _ in source.list_captures(unit, fields, limit):
            pass


def main() -> None:
    """Build both stages once, and do again what is to be told apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=1_000, help="of each file")
    pages = parser.parse_args().pages
    with tempfile.TemporaryDirectory() as place:
        folder, store = Path(place) / "files", Store(f"{place}/home")
        folder.mkdir()
        _write(folder, pages)
        specs = [
            {"name": "archives", "paths": [str(folder / "*.warc.gz")]},
            {"name": "rows", "paths": [str(folder / "*.jsonl.gz")], "row_type": "text/html"},
        ]
        config = source.SourceConfig.model_validate({"workers": 1, "sources": specs})
        order = BuildRequest(source.STAGE, config, {}, source.externals(config))
        moments = [_seconds()]
        made = execute(order, store).artifact
        moments.append(_seconds())
        fields = config.sources[0].model_dump(exclude={"paths", "distributions", "fetched"})
        _listed(folder, config.max_record_bytes, fields)
        moments.append(_seconds())
        parts = [made.data("pages").path(part) for part in made.data("pages").parts]
        _written_again(parts, Path(place) / "again.parquet")
        moments.append(_seconds())
        cleaned: Manifest = execute(
            BuildRequest(clean.STAGE, clean.CleanConfig(workers=1), {"pages": (made, "pages")}),
            store,
        ).artifact.manifest
        moments.append(_seconds())
        size = sum(path.stat().st_size for path in folder.iterdir())
    if cleaned.totals.rows_in != 2 * _FILES * pages:
        raise SystemExit(f"{cleaned.totals.rows_in} pages of {2 * _FILES * pages}")
    whole, listing, writing, cleaning = (after - before for before, after in pairwise(moments))
    print(f"{2 * _FILES * pages:,} pages, {size / 1e6:.0f} MB gzipped; processor seconds")
    for what, seconds in (
        ("source", whole),
        ("  of it listing", listing),
        ("  the rest", whole - listing),
        ("its parts written once more", writing),
        ("clean", cleaning),
    ):
        print(f"{what:<28} {seconds:.2f}")


if __name__ == "__main__":
    main()
