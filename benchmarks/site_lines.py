"""Lines that the stage `sites` takes out of real pages, and what went, for someone to judge.

    python -m benchmarks.site_lines --data DIR... [--engine auto] [--format text] [--lines 10]

Each DIR holds archives (`*.warc.gz`). Pages are extracted as `clean` does it and go through the
rules of `sites` with its default settings; of each site the lines of most characters are printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.normalise import normalise
from llm.corpus.clean.outcome import Extraction
from llm.corpus.sites.addresses import normalised
from llm.corpus.sites.cutting import cut_lines
from llm.corpus.sites.repeated import count_lines, line_key, repeated_lines, sites_of
from tasks.stages.sites import SitesConfig

_NODES, _DEPTH = 300_000, 256


def texts(folder: Path, how: Extraction) -> Iterator[tuple[str, str]]:
    """(site, text) of the pages of all archives."""
    for file in sorted(folder.glob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, WarcRecordType.response):
                found = normalised(record.headers["WARC-Target-URI"])
                if found is None or "html" not in (record.http_content_type or ""):
                    continue
                markup = record.reader.read().decode("utf-8", "replace")
                made = extract(markup, record.headers["WARC-Target-URI"], how, _NODES, _DEPTH)
                text = normalise(made.text, blank_lines=made.engine == "blocks")
                if text:
                    yield found.site, text


def measure(pages: list[tuple[str, str]], config: SitesConfig, shown: int) -> dict[str, Any]:
    """What goes, by site, and how fast."""
    begin = time.process_time()
    sizes = Counter(site for site, _ in pages)
    sites = sites_of(sizes, config.min_pages, config.min_share).to_pylist()
    least = {row["site"]: row["least"] for row in sites}
    counts = count_lines(pages, least)
    repeated: set[int] = set()
    for table in repeated_lines(counts.num_rows, lambda *_: [counts]):
        repeated.update(table.column("key").to_pylist())
    rows: dict[str, dict[str, Any]] = {}
    gone: dict[str, Counter[str]] = {}
    for site, text in pages:
        if site not in least:
            continue
        left, lines = cut_lines(
            text, lambda line, site=site: line_key(site, line) in repeated, config.long_line
        )
        row = rows.setdefault(site, {"name": site, "pages": 0, "characters": 0, **_NOTHING})
        row["pages"] += 1
        row["characters"] += len(text)
        row["pages_that_lost_some"] += bool(lines)
        row["pages_left_empty"] += bool(lines) and not left.strip()
        row["characters_removed"] += len(text) - len(left)
        for line in lines:
            gone.setdefault(site, Counter())[line] += 1
    seconds = time.process_time() - begin
    for site, row in rows.items():
        row["lines"] = len(gone.get(site, ()))
        row["share_removed"] = row["characters_removed"] / row["characters"]
        most = sorted(gone.get(site, Counter()).items(), key=lambda g: -g[1] * len(g[0]))
        print(f"{site}: {row}")
        for line, times in most[:shown]:
            print(f"    {times:5}  {line[:120]!r}")
    size = sum(len(text.encode()) for _, text in pages)
    return {"rows": list(rows.values()), "mb_per_s": size / 1e6 / seconds, "pages": len(pages)}


_NOTHING = {"pages_that_lost_some": 0, "pages_left_empty": 0, "characters_removed": 0}


def main() -> None:
    """Measure, print what went, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, nargs="+")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--format", default="text")
    parser.add_argument("--lines", type=int, default=10)
    args = parser.parse_args()
    how = Extraction(args.engine, 1.4, False, args.format)
    pages = [page for folder in args.data for page in texts(folder, how)]
    found = measure(pages, SitesConfig(), args.lines)
    data = {"pages": found["pages"], "engine": args.engine, "format": args.format}
    speed = {"name": "mb_per_s", "value": found["mb_per_s"], "target": None, "holds": None}
    line = {"benchmark": "site_lines", "input": data, "versions": {"courlan": version("courlan")}}
    print(json.dumps({**line, "rows": found["rows"], "bars": [speed]}))


if __name__ == "__main__":
    main()
