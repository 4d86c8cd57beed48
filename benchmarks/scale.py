"""How time and memory of the corpus path grow with the pages, and what that says of terabytes.

    python -m benchmarks.scale --warc FILE... [--pages 400] [--workers 1]

Source, clean, annotate, filter, dedup and pack on so many pages, on 4 and on 16 times as many
(words of each text in another order, so that they are no near-duplicates), as benchmarks/corpus.py
has them. All times are processor seconds, so that other work on the machine does not count. The
bars: those of 16 times the pages over 16 times those of once; those of a further page between 4 and
16 times over those between once and 4 times (which leaves out what a run costs whatever its size);
and the peak memory of all processes, 16 times over once.

Then a cost model: of every stage, seconds = what it takes with nothing to do + so many a page, by
least squares over the three sizes; and by it the core hours, and the cores for a day, of 1 TB and
100 TB of gzipped archives. What a stage does in one process, whatever the cores, is told apart:
that is where more machines end to help.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import GROWTH, grown

TIME, MEMORY = 1.15, 1.2
TERABYTES = (1, 100)
# The decision of dedup over all documents is one process; all else is a map over parts.
ALONE = "decision"


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Attributes:
        fixed: processor seconds with nothing to do.
        page: processor seconds a page.
    """

    fixed: float
    page: float


def fitted(pages: Sequence[int], seconds: Sequence[float]) -> Cost:
    """A line through what was measured; neither of its terms is below nothing."""
    page, fixed = np.polyfit(np.asarray(pages, float), np.asarray(seconds, float), 1)
    if fixed < 0:
        x, y = np.asarray(pages, float), np.asarray(seconds, float)
        return Cost(0.0, float(x @ y / (x @ x)))
    return Cost(float(fixed), float(max(page, 0.0)))


def costs(rows: Sequence[dict[str, Any]]) -> dict[str, Cost]:
    """Of every stage, from rows of several sizes; that of dedup without its decision, and that."""
    pages = [row["pages"] for row in rows]
    found = {}
    for stage in rows[0]["stages"]:
        made = [row["stages"][stage] for row in rows]
        alone = [one.get("decision_cpu_seconds", 0.0) for one in made]
        rest = [one["cpu_seconds"] - part for one, part in zip(made, alone, strict=True)]
        found[stage] = fitted(pages, rest)
        if any(alone):
            found[ALONE] = fitted(pages, alone)
    return found


def forecast(found: dict[str, Cost], pages: float) -> dict[str, float | None]:
    """Core hours, of them those of one process alone, and the cores that end in a day.

    Returns:
        `core_hours`, `alone_hours`, `cores_for_a_day`; the last is none where one process takes
        longer than that.
    """
    hours = {stage: (cost.fixed + cost.page * pages) / 3600 for stage, cost in found.items()}
    alone = hours.get(ALONE, 0.0)
    spread = sum(hours.values()) - alone
    cores = spread / (24 - alone) if alone < 24 else None
    return {"core_hours": spread + alone, "alone_hours": alone, "cores_for_a_day": cores}


def bars(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of three sizes: the largest by the smallest, and what a further page takes late and early."""
    first, middle, last = rows
    times = last["pages"] / first["pages"]
    early, late = (
        (after["cpu_seconds"] - before["cpu_seconds"]) / (after["pages"] - before["pages"])
        for before, after in ((first, middle), (middle, last))
    )
    values = [
        ("time_growth_16x", last["cpu_seconds"] / (times * first["cpu_seconds"]), TIME),
        ("further_page_growth", late / early, TIME),
        ("memory_growth_16x", last["peak_mb"] / first["peak_mb"], MEMORY),
    ]
    return [
        {"name": name, "value": value, "target": target, "holds": value <= target}
        for name, value, target in values
    ]


def main() -> None:
    """Measure, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--warc", type=Path, nargs="+", required=True)
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--pages-a-file", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        rows = grown(args.warc, args.pages, scratch, args.workers, args.pages_a_file)
        archives = scratch / f"times{GROWTH[-1]}"
        stored = sum(path.stat().st_size for path in archives.iterdir())
    page_bytes = stored / rows[-1]["pages"]
    print(f"{'':18}{'pages':>8}{'s':>9}{'CPU s':>9}{'MB':>8}")
    for row in rows:
        print(
            f"{row['name']:18}{row['pages']:8}{row['seconds']:9.1f}{row['cpu_seconds']:9.1f}"
            f"{row['peak_mb']:8.0f}"
        )
    found = costs(rows)
    print(f"\n{'stage':12}{'CPU s at 0':>15}{'CPU ms/page':>13}")
    for stage, cost in found.items():
        print(f"{stage:12}{cost.fixed:15.2f}{1000 * cost.page:13.3f}")
    ahead = {size: forecast(found, size * 1e12 / page_bytes) for size in TERABYTES}
    print(f"\n{'gzipped':>8}{'core hours':>12}{'in one process':>16}{'cores for a day':>17}")
    for size, said in ahead.items():
        cores = said["cores_for_a_day"]
        print(
            f"{size:5} TB{said['core_hours']:12.0f}{said['alone_hours']:14.1f} h"
            f"{'never' if cores is None else f'{cores:.0f}':>17}"
        )
    print(
        json.dumps(
            {
                "benchmark": "scale",
                "input": {
                    "pages": rows[0]["pages"],
                    "workers": args.workers,
                    "page_bytes": page_bytes,
                },
                "versions": {"cores": os.cpu_count()},
                "rows": [*rows, *({"name": f"{size} TB", **said} for size, said in ahead.items())],
                "bars": bars(rows),
            }
        )
    )


if __name__ == "__main__":
    main()
