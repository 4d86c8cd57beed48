"""What the pipeline itself costs: a run that has nothing to do, and a plan over many shards.

    python -m benchmarks.overhead [--recipe quickstart] [--shards 100000] [--work 60]

Three things are timed. First, as commands, from their start to their end and the median of three,
`ingot plan` and `ingot run` of a recipe that is up to date, with the server running; the home is
the one of INGOT_HOME, and what is not built there is built first, untimed. Then `ingot plan` of a
source of as many files as are asked for, one part and one receipt each, in a home of its own: its
artifact is multiplied out of a small one that was built, since building takes hours of processes
and nobody would learn from it; `ingot trace`, `ingot verify` and `ingot gc` are timed on the same.
Past 100,000 its files are second names of some (hard links), which costs a look at each as much,
and a tenth of the disk. Last a stage that computes for a minute: what the engine adds to it
(`engine_share.py`).
There is no peer: nobody else plans.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from os import link
from pathlib import Path
from typing import Any

from benchmarks.engine_share import measure

BARS = {"noop_build_s": 5.0, "plan_s": 1.0, "plan_100k_receipts_s": 2.0, "engine_share": 0.02}
NOBODY = "f" * 16
UNKNOWN = f"no document has the id or URL {NOBODY!r}"
ROUNDS, SEED_FILES, A_FOLDER, OWN_FILES = 3, 4, 1_000, 100_000
TEXT = "The ferry leaves the old harbour four times a day, and page {} says no more than that.\n"


def ingot(*arguments: str, home: Path | None = None, fault: str = "") -> float:
    """Seconds of a command that succeeds, or that ends with this fault and no other."""
    environment = dict(os.environ)
    if home is not None:
        environment |= {"INGOT_HOME": str(home / "home"), "XDG_CACHE_HOME": str(home / "cache")}
    began = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ingot")), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if bool(done.returncode) != bool(fault) or fault not in done.stderr:
        raise SystemExit(f"ingot {' '.join(arguments)} failed:\n{done.stderr or done.stdout}")
    return time.perf_counter() - began


def timed(*arguments: str, home: Path | None = None) -> float:
    """The median of some rounds, in seconds."""
    return statistics.median(ingot(*arguments, home=home) for _ in range(ROUNDS))


def write_files(folder: Path, count: int) -> None:
    """So many texts, a thousand to a folder."""
    for number in range(count):
        place = folder / f"{number // A_FOLDER:05}" / f"{number % A_FOLDER:03}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        if number < OWN_FILES:
            place.write_text(TEXT.format(number), encoding="utf-8")
        else:
            link(
                folder / f"{number % OWN_FILES // A_FOLDER:05}" / f"{number % A_FOLDER:03}.txt",
                place,
            )


def recipe_of(folder: Path, pages: Path) -> Path:
    """A recipe that reads a folder and does nothing else."""
    source = {"name": "many", "kind": "text", "paths": [str(pages)]}
    written = folder / f"{pages.name}.yaml"
    written.write_text(json.dumps({"name": pages.name, "source": {"sources": [source]}}))
    return written


def multiply(folder: Path, shards: int) -> Path:
    """A published artifact of `source` over so many files, and its recipe.

    Every part is a file of its own on the disk, with the bytes of one that was built.
    """
    from flows.planning import planner
    from tasks.engine.run.build import build
    from tasks.engine.store import channels
    from tasks.engine.store.artifact import attempt_folder, build_folder
    from tasks.engine.store.listing import external_record, output_record
    from tasks.engine.store.manifest import ExternalItem

    write_files(folder / "few", SEED_FILES)
    write_files(folder / "many", shards)
    small = build(planner(str(recipe_of(folder, folder / "few"))))["source"].artifact
    recipe = recipe_of(folder, folder / "many")
    planned = planner(str(recipe))
    request, store = planned.request("source"), planned.store
    target = attempt_folder("source", request.build_id, "0001")
    outputs = {}
    for name, output in small.manifest.outputs.items():
        if not output.files:
            outputs[name] = output
            continue
        part = output.files[0]
        content = store.read(f"{small.folder}/{name}/{part.path}")
        place = store.local_path(f"{target}/{name}")
        place.mkdir(parents=True)
        paths = [f"many-{number:06}.parquet" for number in range(shards)]
        for number, path in enumerate(paths):
            if number < OWN_FILES:
                (place / path).write_bytes(content)
            else:
                link(place / paths[number % OWN_FILES], place / path)
        files = [part.model_copy(update={"path": path}) for path in paths]
        outputs[name] = output_record(store, target, output.data_id, output.columns, files)
    receipts = store.local_path(f"{target}/receipts")
    receipts.mkdir(parents=True)
    receipt = next(store.local_path(f"{small.folder}/receipts").iterdir()).read_bytes()
    for number in range(shards):
        path = receipts / f"{number:064x}.json"
        if number < OWN_FILES:
            path.write_bytes(receipt)
        else:
            link(receipts / f"{number % OWN_FILES:064x}.json", path)
    manifest = small.manifest.model_copy(
        update={
            "build_id": request.build_id,
            "attempt": "0001",
            "outputs": outputs,
            "externals": {
                name: external_record(
                    store,
                    target,
                    found.data_id,
                    [
                        ExternalItem(name=each.name, size=each.size, sha256=each.sha256)
                        for each in found.items
                    ],
                )
                for name, found in request.externals.items()
            },
            "panels": None,
        }
    )
    store.create(f"{target}/manifest.json", manifest.model_dump_json().encode())
    pointer = {"attempt": "0001"}
    store.replace(
        f"{build_folder('source', request.build_id)}/current.json", json.dumps(pointer).encode()
    )
    published = channels.published(store, "source", request.build_id, "0001")
    if published is None:
        raise SystemExit("the multiplied artifact is not read as published")
    channels.point(store, planned.name, published)
    row = planned.row("source")
    if row.runs is not False:
        raise SystemExit(f"the multiplied artifact is not fresh: {row.status}: {row.reasons}")
    return recipe


def many_shards(shards: int) -> dict[str, float]:
    """Seconds of the first plan, which reads every file once, of one after it, and of the commands
    that keep a store."""
    with tempfile.TemporaryDirectory(prefix="ingot-overhead-") as place:
        folder = Path(place)
        os.environ["INGOT_HOME"] = str(folder / "home")
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        recipe = str(multiply(folder, shards))
        measured = {
            "first_plan_s": ingot("plan", "--recipe", recipe, home=folder),
            "plan_100k_receipts_s": timed("plan", "--recipe", recipe, home=folder),
            # Every part is one and the same: a document in one of them is in all. Nobody's id is
            # looked for, in the first command by reading them all.
            **{
                name: ingot("trace", NOBODY, "--recipe", recipe, home=folder, fault=UNKNOWN)
                for name in ("first_trace_s", "trace_s")
            },
            "verify_s": ingot("verify", home=folder),
            "gc_s": ingot("gc", home=folder),
        }
        return {
            name if shards == 100_000 else name.replace("100k", str(shards)): seconds
            for name, seconds in measured.items()
        }


def main() -> None:
    """Run, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="quickstart", help='"" = leave this part out')
    parser.add_argument("--shards", type=int, default=100_000, help="0 = leave this part out")
    parser.add_argument("--work", type=float, default=60.0, help="seconds; 0 = leave this part out")
    args = parser.parse_args()
    measured: dict[str, float] = {}
    if args.recipe:
        ingot("run", "--recipe", args.recipe)
        measured["plan_s"] = timed("plan", "--recipe", args.recipe)
        measured["noop_build_s"] = timed("run", "--recipe", args.recipe)
    if args.shards:
        measured |= many_shards(args.shards)
    if args.work:
        measured |= measure(args.work)
    for name, value in measured.items():
        bar = f"   bar {BARS[name]:g}" if name in BARS else ""
        print(f"{name:24} {value:8.3f}{bar}")
    bars: list[dict[str, Any]] = [
        {
            "name": name,
            "value": round(measured[name], 4),
            "target": target,
            "holds": measured[name] <= target,
        }
        for name, target in BARS.items()
        if name in measured
    ]
    record = {
        "benchmark": "overhead",
        "input": {"recipe": args.recipe, "shards": args.shards, "cores": os.cpu_count()},
        "versions": {"python": sys.version.split()[0]},
        "rows": [{"name": name, "value": round(value, 4)} for name, value in measured.items()],
        "bars": bars,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
