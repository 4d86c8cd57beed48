"""What a refresh costs: 1 % new pages in a new file, against the whole way from pages to tokens.

    python -m benchmarks.refresh --warc FILE... [--pages 4000] [--files 50] [--share 0.01]

The pages of the archives are written anew, so many to a file, the words of each text in another
order wherever a page is needed more than once. Then, each in a process of its own and without
Prefect: `source` to `pack` over all of them; a further file; the same recipe as `refresh` runs it.
Processor seconds of each stage and of the process, its start included, and the units (shards) that
were built. There is no peer: datatrove has no refresh. A cache folder of the benchmark's own is
filled by a small corpus before, in another home: what is made once on a machine (compiled code,
tables of characters) is in neither figure.

Last, one build over everything, under another name in the same home, with the classifier, the cuts
and the tokenizer that the refresh held: its kept documents are to be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpus import Page, pages, reordered, write
from benchmarks.process_tree import run

COST = 0.05
NAME, WHOLE = "refreshed", "at-once"
# What one build over everything shares with the refresh it is compared with; and all that is held.
LEARNED = ("quality", "filter", "tokenizer")
HELD = (*LEARNED, "dedup", "pack")
QUESTIONS = 200
WARM_PAGES = 300
SAMPLE_BYTES = 8_000_000


def many_pages(files: Sequence[Path]) -> Iterator[Page]:
    """The pages of archives, over and over, each time in other words."""
    every = list(pages(files))
    for copy in count():
        yield from (reordered(page, copy) for page in every)


def dated(found: Iterator[Page], date: str) -> Iterator[Page]:
    """Pages that were all fetched on one day."""
    return (replace(page, date=date) for page in found)


def write_questions(files: Sequence[Path], path: Path) -> None:
    """An evaluation set no page contains."""
    words = [word for page in islice(pages(files), 20) for word in page.url.split("/") if word]
    lines = (
        {"question": " ".join(f"{words[(n * 7 + k) % len(words)]}{n}" for k in range(20))}
        for n in range(QUESTIONS)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def recipe(name: str, folder: Path, workers: int, hold: Sequence[str]) -> dict[str, Any]:
    """Everything from pages to tokens that a corpus of one's own has."""
    own = {"workers": workers}
    return {
        "name": name,
        "hold": list(hold),
        "source": {"sources": [{"name": "web", "kind": "warc", "paths": ["pages/*.gz"]}], **own},
        "clean": own,
        "quality": {
            "positives": [{"name": "long", "min_chars": 4000, "max_rows": 1000}],
            "negatives": [{"name": "short", "max_chars": 2000, "max_rows": 1000}],
        },
        "annotate": own,
        "filter": {
            "groups": [{"preset": "web-any"}],
            "rules": [{"column": "quality_score", "keep_fraction": 0.9}],
            **own,
        },
        "dedup": {"keep": ["first_seen", "quality_score", "longest", "doc_id"], **own},
        "decontaminate": {
            "evaluation_sets": [{"name": "asked", "paths": [str(folder / "questions.jsonl")]}],
            **own,
        },
        "tokenizer": {"vocabulary_size": 8192, "sample_bytes": SAMPLE_BYTES},
        "pack": own,
    }


def spent() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def built(path: str, home: str, learned_by: str) -> dict[str, Any]:
    """In a process of its own: bring a recipe up to date; what each stage took, what is kept.

    Args:
        learned_by: the recipe that what is held is taken over from; "" = its own.
    """
    from flows.planning import planner_for
    from tasks.engine.run.build import steps
    from tasks.engine.run.execute import BuildRequest, BuildResult, execute
    from tasks.engine.store import channels
    from tasks.engine.store.store import Store
    from tasks.recipe import load

    plan = planner_for(load(path), path, Store(home))
    for stage in LEARNED if learned_by else ():
        learned = channels.resolve(plan.store, learned_by, stage)
        if learned is not None:
            channels.point(plan.store, plan.name, learned)
    same_code = plan.selection.same_code

    def carry_out(request: BuildRequest, force: bool) -> BuildResult:
        return execute(request, plan.store, force=force, same_code=same_code)

    stages, before = [], spent()
    for step in steps(plan, carry_out):
        now = spent()
        row = {"name": step.row.stage, "status": str(step.row.status), "cpu_seconds": now - before}
        if step.built is not None and not step.built.cached:
            timings = step.built.artifact.manifest.timings
            row |= {"built": timings.shards_built, "adopted": timings.shards_adopted}
        stages.append(row)
        before = now
    documents = plan.artifacts["decontaminate"].data("documents")
    kept = documents.table(["doc_id"]).column("doc_id").to_pylist()
    return {"stages": stages, "kept": sorted(kept), "cpu_seconds": spent()}


def measured(path: Path, home: Path, log: Path, learned_by: str = "") -> dict[str, Any]:
    """`built`, apart."""
    command = [sys.executable, "-m", "benchmarks.refresh", "--run"]
    command += [str(path), str(home), learned_by]
    environment = os.environ | {
        "INGOT_ROOT": str(path.parent),
        "XDG_CACHE_HOME": str(home.parent / "cache"),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    taken = run(command, environment, str(log))
    said: dict[str, Any] = json.loads(taken.output.splitlines()[-1])
    return said | {"seconds": taken.seconds, "peak_mb": taken.peak_mb}


def warm(args: argparse.Namespace, folder: Path) -> None:
    """Build a small corpus whose pages are in no other."""
    place = folder / "warm"
    found = (replace(page, url=f"{page.url}~warm") for page in many_pages(args.warc))
    write(islice(found, WARM_PAGES), place / "pages", WARM_PAGES)
    path = place / f"{WHOLE}.yaml"
    path.write_text(yaml.safe_dump(recipe(WHOLE, folder, args.workers, ())), encoding="utf-8")
    measured(path, folder / "warm-home", folder / "warm.log")


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    if sys.argv[1:2] == ["--run"]:
        print(json.dumps(built(*sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--warc", type=Path, nargs="+", required=True)
    parser.add_argument("--pages", type=int, default=4_000)
    parser.add_argument("--files", type=int, default=50, help="the pages come in")
    parser.add_argument("--share", type=float, default=0.01, help="of new pages")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    new = max(1, round(args.pages * args.share))
    with tempfile.TemporaryDirectory(prefix="ingot-refresh-") as place:
        folder = Path(place)
        found = many_pages(args.warc)
        write_questions(args.warc, folder / "questions.jsonl")
        warm(args, folder)
        first = dated(islice(found, args.pages), "2026-01-01T00:00:00Z")
        write(first, folder / "pages", -(-args.pages // args.files))
        for name, hold in ((NAME, HELD), (WHOLE, LEARNED)):
            written = recipe(name, folder, args.workers, hold)
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
        own, home = folder / f"{NAME}.yaml", folder / "home"
        whole = measured(own, home, folder / "whole.log")
        write(dated(islice(found, new), "2026-02-01T00:00:00Z"), folder / "more", new)
        next((folder / "more").iterdir()).rename(folder / "pages" / "later.warc.gz")
        again = measured(own, home, folder / "again.log")
        at_once = measured(folder / f"{WHOLE}.yaml", home, folder / "at-once.log", NAME)
    if again["kept"] == whole["kept"]:
        raise SystemExit("no page of the new file was kept: nothing is compared")
    report(args, new, whole, again, again["kept"] == at_once["kept"])


def report(
    args: argparse.Namespace,
    new: int,
    whole: dict[str, Any],
    again: dict[str, Any],
    same: bool,
) -> None:
    """The table, and the line of JSON.

    Args:
        whole, again: what was built first, and for the new pages.
        same: whether these ended where one build does.
    """
    print(f"{'':16}{'full CPU s':>12}{'refresh':>10}{'share':>8}   units built, adopted")
    rows = []
    for before, after in zip(whole["stages"], again["stages"], strict=True):
        share = after["cpu_seconds"] / max(before["cpu_seconds"], 1e-9)
        rows.append(
            {
                "name": before["name"],
                "full_cpu_seconds": round(before["cpu_seconds"], 3),
                "refresh_cpu_seconds": round(after["cpu_seconds"], 3),
                "full_units": before.get("built", 0),
                "refresh_units": after.get("built", 0),
                "adopted_units": after.get("adopted", 0),
                "status": after["status"],
            }
        )
        print(
            f"{before['name']:16}{before['cpu_seconds']:12.2f}{after['cpu_seconds']:10.2f}"
            f"{share:8.1%}   {after.get('built', 0)}, {after.get('adopted', 0)} "
            f"of {before.get('built', 0)}  {after['status']}"
        )
    fraction = again["cpu_seconds"] / whole["cpu_seconds"]
    print(
        f"{'with the start':16}{whole['cpu_seconds']:12.2f}{again['cpu_seconds']:10.2f}"
        f"{fraction:8.1%}"
    )
    bars = [
        {
            "name": "refresh_cost_fraction",
            "value": round(fraction, 4),
            "target": COST,
            "holds": fraction <= COST,
        },
        {"name": "kept_sets_equal", "value": int(same), "target": 1, "holds": same},
    ]
    record = {
        "benchmark": "refresh",
        "input": {"pages": args.pages, "files": args.files, "new": new, "workers": args.workers},
        "versions": {"python": sys.version.split()[0]},
        "rows": [
            *rows,
            {
                "name": "all",
                "full_cpu_seconds": round(whole["cpu_seconds"], 3),
                "refresh_cpu_seconds": round(again["cpu_seconds"], 3),
                "full_seconds": round(whole["seconds"], 1),
                "refresh_seconds": round(again["seconds"], 1),
                "kept": len(again["kept"]),
            },
        ],
        "bars": bars,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
