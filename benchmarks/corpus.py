"""WARC archives to tokens: Ingot's stages and datatrove's FineWeb steps, same pages and workers.

    python -m benchmarks.corpus --warc FILE... [--workers 1] [--growth-pages 400] [--alone]

The archives are first written anew, as Common Crawl's are: a record a page of HTML, its payload
type in the header, bodies plain, `--pages-a-file` to a file. Both get the same pages. Ingot:
source, clean, annotate, filter, dedup, pack, each by its defaults, without Prefect; its tokenizer
is trained in between, which is not counted, and given to datatrove too. datatrove's steps are in
benchmarks/datatrove_corpus.py; they run in a virtual environment of their own, which is made in
`--environment` when it is not there.

Pages a second by the clock, and by the processor seconds of all processes; memory of all processes
at once (shared memory once); what is kept, and whether in = kept + removed + lost holds. The bar is
the smaller of the two ratios of speed. Then Ingot on `--growth-pages` pages, on 4 and on 16 times
as many (words of each text in another order): processor seconds a page, and peak memory. With
`--growth-pages 0` that is left out, with `--alone` datatrove is.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from fastwarc.warc import ArchiveIterator, WarcRecordType

from benchmarks.process_tree import Taken, run

SPEED, LINEAR, FLAT = 5.0, 1.2, 1.25
GROWTH = (1, 4, 16)
DATATROVE = "datatrove[io,processing]==0.10.1"
# What it imports without asking for it: English words are cut by spaCy, lxml's cleaner is apart.
BESIDE = ("spacy>=3.8,<4", "lxml_html_clean")
STEPS = Path(__file__).with_name("datatrove_corpus.py")
BEFORE_TOKENS = ("source", "clean", "annotate", "filter", "dedup")
_HTML = ("text/html", "application/xhtml+xml")
# Text between two tags; what is in these elements is none, or its order is all of it.
_TEXT = re.compile(rb"(?is)(<(script|style|pre|title)\b.*?</\2\s*>|<!--.*?-->)|>([^<]+)<")


@dataclass(frozen=True)
class Page:
    """A captured page: its URL, its type, the time of its capture, and its bytes, as served."""

    url: str
    kind: str
    date: str
    body: bytes


def pages(files: Sequence[Path]) -> Iterator[Page]:
    """Every page of HTML that was answered with 200."""
    for path in files:
        with path.open("rb") as stream:
            for record in ArchiveIterator(
                stream, record_types=WarcRecordType.response, auto_decode="all"
            ):
                http = record.http_headers
                if http is None or http.status_code != 200:
                    continue
                kind = (record.http_content_type or "").lower()
                if kind in _HTML:
                    date = record.headers.get("WARC-Date", "2024-01-01T00:00:00Z")
                    charset = record.http_charset
                    shown = f"{kind}; charset={charset}" if charset else kind
                    yield Page(record.headers["WARC-Target-URI"], shown, date, record.reader.read())


def reordered(page: Page, copy: int) -> Page:
    """The page with the words of each text in another order, so that it is no near-duplicate: same
    words, same lines, same tags. Copy 0 is the page itself."""
    if not copy:
        return page
    draw = random.Random(f"{copy} {page.url}")

    def shuffled(match: re.Match[bytes]) -> bytes:
        text = match[3]
        if text is None or len(words := text.split()) < 4:
            return match[0]
        inner = words[1:-1]
        draw.shuffle(inner)
        before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        return b">" + before + b" ".join([words[0], *inner, words[-1]]) + after + b"<"

    return Page(f"{page.url}~{copy}", page.kind, page.date, _TEXT.sub(shuffled, page.body))


def write(found: Iterator[Page], folder: Path, pages_a_file: int) -> int:
    """Write archives of so many pages each; how many pages there are."""
    folder.mkdir(parents=True)
    count = 0
    while batch := list(islice(found, pages_a_file)):
        records = b"".join(
            gzip.compress(_record(page, count + place), 6, mtime=0)
            for place, page in enumerate(batch)
        )
        (folder / f"{count:06}.warc.gz").write_bytes(records)
        count += len(batch)
    return count


def _record(page: Page, number: int) -> bytes:
    http = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {page.kind}\r\nContent-Length: {len(page.body)}\r\n\r\n"
    )
    block = http.encode() + page.body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {page.url}\r\n"
        f"WARC-Date: {page.date}\r\nWARC-Record-ID: <urn:page:{number:012}>\r\n"
        f"WARC-Identified-Payload-Type: {page.kind.partition(';')[0]}\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def run_stages(recipe: Path, home: Path, only: Sequence[str]) -> dict[str, Any]:
    """In a process of its own: build stages of a recipe, one by one; totals, facts, seconds and
    processor seconds of each, with those of the processes it started and ended. Of dedup also those
    of its decision, which is one process whatever the cores."""
    from flows.planning import planner_for
    from tasks.engine.run.build import build
    from tasks.engine.store.store import Store
    from tasks.recipe import load
    from tasks.stages import dedup

    decision, deciding = dedup.decision, []

    def timed(*arguments: Any) -> Any:
        before = _spent()
        decided = decision(*arguments)
        deciding.append(_spent() - before)
        return decided

    dedup.decision = timed
    made = {}
    for name in only:
        before = _spent()
        planner = planner_for(load(str(recipe)), str(recipe), Store(str(home)), (name,))
        manifest = (done := build(planner)[name]).artifact.manifest
        made[name] = {
            "seconds": manifest.timings.seconds,
            "cpu_seconds": _spent() - before,
            "in": manifest.totals.rows_in,
            "kept": manifest.totals.kept,
            "removed": dict(manifest.totals.removed),
            "rejected": dict(manifest.totals.rejected),
            "unit": manifest.totals.unit,
            "encoder": manifest.facts.get("encoder"),
            "splits": manifest.facts.get("splits"),
            "tokenizer": str(done.artifact.data("tokenizer").folder())
            if name == "tokenizer"
            else None,
        }
        if name == "dedup":
            made[name]["decision_cpu_seconds"] = sum(deciding)
    return made


def _spent() -> float:
    """Processor seconds of this process and of those it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@dataclass(frozen=True)
class Run:
    """What one program made of the pages.

    Attributes:
        taken: of its processes, one after the other.
        stages: what it says of each step.
        kept, tokens: documents, and what they came to.
        conserved: whether, of every step, in = kept + removed + lost.
    """

    taken: list[Taken]
    stages: dict[str, Any]
    kept: int
    tokens: int
    conserved: bool

    def row(self, name: str, count: int) -> dict[str, Any]:
        """The row of the benchmark."""
        seconds = sum(one.seconds for one in self.taken)
        spent = sum(one.cpu_seconds for one in self.taken)
        return {
            "name": name,
            "pages": count,
            "seconds": seconds,
            "cpu_seconds": spent,
            "pages_per_second": count / seconds,
            "pages_per_cpu_second": count / spent,
            "peak_mb": max(one.peak_mb for one in self.taken),
            "kept": self.kept,
            "tokens": self.tokens,
            "conserved": self.conserved,
            "stages": self.stages,
        }


def ingot(warcs: Path, scratch: Path, workers: int) -> tuple[Run, Path]:
    """Ingot's stages; its run, and the folder of the tokenizer."""
    scratch.mkdir()
    own = {"workers": workers}
    recipe = {
        "name": "corpus-benchmark",
        "source": {"sources": [{"name": "web", "kind": "warc", "paths": [str(warcs)]}], **own},
        **dict.fromkeys(("clean", "annotate", "filter", "dedup", "pack"), own),
        "tokenizer": {"sample_bytes": 20_000_000},
    }
    path = scratch / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    taken: list[Taken] = []
    stages: dict[str, Any] = {}
    for part in (BEFORE_TOKENS, ("tokenizer",), ("pack",)):
        command = [sys.executable, "-m", "benchmarks.corpus", "--run", str(path)]
        command += [str(scratch / "home"), *part]
        done = run(command, os.environ, str(scratch / f"{part[0]}.log"))
        stages |= json.loads(done.output.splitlines()[-1])
        if part != ("tokenizer",):
            taken.append(done)
    folder = Path(stages.pop("tokenizer")["tokenizer"])
    conserved = all(
        one["in"] == one["kept"] + sum(one["removed"].values()) + sum(one["rejected"].values())
        for one in stages.values()
    )
    tokens = sum(split["tokens"] for split in stages["pack"]["splits"].values())
    return Run(taken, stages, stages["dedup"]["kept"], tokens, conserved), folder


def datatrove(warcs: Path, scratch: Path, workers: int, environment: Path, tokenizer: Path) -> Run:
    """datatrove's steps."""
    from llm.corpus.annotate.language_model import installed

    scratch.mkdir()
    arguments = [warcs, scratch / "out", tokenizer / "tokenizer.json", installed(), workers]
    command = [str(environment / "bin" / "python"), str(STEPS), *map(str, arguments)]
    done = run(command, _variables(environment), str(scratch / "datatrove.log"))
    said = json.loads(done.output.splitlines()[-1])
    steps = said["steps"]
    conserved = all(
        step["total"] == sum(step.get(fate, 0) for fate in ("forwarded", "dropped", *LOST))
        for step in steps
        if "total" in step and ("forwarded" in step or "dropped" in step)
    )
    tokens = next(step["tokens"] for step in reversed(steps) if "tokens" in step)
    kept = next(step for step in reversed(steps) if "forwarded" in step)["forwarded"]
    return Run([done], said, kept, tokens, conserved)


# Pages an extractor of datatrove gives up are in its statistics, and nowhere else.
LOST = ("timeout", "broken_process", "clean_error")


def _variables(environment: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "HF_ASSETS_CACHE": str(environment / "assets"),
        "TLDEXTRACT_CACHE": str(environment / "suffixes"),
        "HF_HUB_OFFLINE": "1",
    }


def make_environment(folder: Path) -> None:
    """A virtual environment with datatrove, unless it is there; its word lists unpacked."""
    ready = folder / "ready"
    if ready.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", DATATROVE, *BESIDE],
        check=True,
        stdout=sys.stderr,
    )
    unpack = (
        "from datatrove.data import Document; from datatrove.pipeline.filters import URLFilter;"
        "URLFilter().filter(Document('a', 'b', metadata={'url': 'https://example.org/'}))"
    )
    subprocess.run([python, "-c", unpack], check=True, env=_variables(folder))
    ready.touch()


def grown(files: Sequence[Path], count: int, scratch: Path, workers: int, a_file: int) -> list[Any]:
    """A row for each multiple of so many pages, spread over the archives."""
    every = list(pages(files))
    few = every[:: max(1, len(every) // count)][:count]
    rows = []
    for times in GROWTH:
        folder = scratch / f"times{times}"
        found = (reordered(page, copy) for copy in range(times) for page in few)
        made = write(found, folder, a_file)
        done, _ = ingot(folder, scratch / f"ingot{times}", workers)
        rows.append(done.row(f"ingot, {times} times", made))
    return rows


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    if sys.argv[1:2] == ["--run"]:
        recipe, home, *only = sys.argv[2:]
        print(json.dumps(run_stages(Path(recipe), Path(home), only)))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--warc", type=Path, nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pages-a-file", type=int, default=100)
    parser.add_argument("--growth-pages", type=int, default=400)
    parser.add_argument("--alone", action="store_true", help="Ingot alone")
    parser.add_argument(
        "--environment", type=Path, default=Path(tempfile.gettempdir()) / "ingot-bench-datatrove"
    )
    args = parser.parse_args()
    if not args.alone:
        make_environment(args.environment)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        count = write(pages(args.warc), scratch / "warcs", args.pages_a_file)
        ours, tokenizer = ingot(scratch / "warcs", scratch / "ingot", args.workers)
        rows = [ours.row("ingot", count)]
        if not args.alone:
            theirs = datatrove(
                scratch / "warcs",
                scratch / "datatrove",
                args.workers,
                args.environment,
                tokenizer,
            )
            rows.append(theirs.row("datatrove", count))
        if args.growth_pages:
            rows += grown(args.warc, args.growth_pages, scratch, args.workers, args.pages_a_file)
    print(
        f"{'':18}{'pages':>8}{'s':>8}{'CPU s':>8}{'pages/s':>9}{'/CPU s':>9}{'MB':>7}{'kept':>8}"
        f"{'tokens':>11}  adds up"
    )
    for row in rows:
        print(
            f"{row['name']:18}{row['pages']:8}{row['seconds']:8.1f}{row['cpu_seconds']:8.1f}"
            f"{row['pages_per_second']:9.1f}{row['pages_per_cpu_second']:9.1f}{row['peak_mb']:7.0f}"
            f"{row['kept']:8}{row['tokens']:11}  {row['conserved']}"
        )
    for row in rows[:2]:
        print(f"{row['name']}: {json.dumps(row['stages'])}")
    print(
        json.dumps(
            {
                "benchmark": "corpus",
                "input": {"pages": count, "workers": args.workers},
                "versions": {"datatrove": DATATROVE, "resiliparse": version("resiliparse")},
                "rows": rows,
                "bars": bars(rows),
            }
        )
    )


def bars(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Speed beside datatrove's; of the greatest growth, processor seconds a page and memory."""
    by_name = {row["name"]: row for row in rows}
    found = []
    if "datatrove" in by_name:
        ours, theirs = by_name["ingot"], by_name["datatrove"]
        speed = min(
            ours[rate] / theirs[rate] for rate in ("pages_per_second", "pages_per_cpu_second")
        )
        found.append(("speed_vs_datatrove", speed, SPEED, speed >= SPEED))
    last, middle = (by_name.get(f"ingot, {times} times") for times in (GROWTH[-1], GROWTH[-2]))
    if last and middle:
        cost = middle["pages_per_cpu_second"] / last["pages_per_cpu_second"]
        memory = last["peak_mb"] / middle["peak_mb"]
        found.append(("growth_seconds_a_page", cost, LINEAR, cost <= LINEAR))
        found.append(("growth_memory", memory, FLAT, memory <= FLAT))
    return [
        {"name": name, "value": value, "target": target, "holds": holds}
        for name, value, target, holds in found
    ]


if __name__ == "__main__":
    main()
