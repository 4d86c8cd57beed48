"""Whether the verdict on two recipes after minutes of training is that of runs eight times as long.

    python -m benchmarks.evaluation_signal --folder FOLDER [--minutes 5] [--data FILE ...]

Seven recipes that differ in their filter, mixture, learning rate or size are trained for a short
and for eight times as long a time: 21 pairs. Of each pair both lengths say which recipe is better,
by paired intervals of bits per byte on the same validation documents, none of which a recipe has
in its training text. The intervals of the short runs hold for other seeds too, as those of
`ingot experiment` do: of the first recipe several are trained. Where the short runs dare a verdict,
the long ones have to give the same one; a long one that sees no difference does not agree. Beside
it stands the agreement of verdicts that know of documents alone, as `ingot compare` has two runs.

All are trained on as many tokens: those that the first recipe takes `--minutes` for, as measured
before, with one thread. A core has one run at a time. The text is the documentation of installed
packages, or files of one's own, a source each. Finished runs are kept in the folder: the same
command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.signal_runs import (
    LENGTHS,
    LONGER,
    built_before,
    first_seeds,
    measures,
    pace,
    run_all,
    write_experiments,
    write_recipe,
)
from benchmarks.verdicts import Measured, agreement, beyond_seeds, measure_row, pair_rows, verdicts
from flows.experiment_plan import question
from flows.home import prepare_environment
from flows.planning import planner
from llm.evaluation.differences.pairing import DifferentItemsError, DifferentWeightsError
from llm.evaluation.measure import BITS_PER_BYTE, Measure
from tasks.engine.run.build import build
from tasks.experiments.definition import BASE, TRAIN

AGREEMENT = 0.9


def measure_rows(
    short: Measured, long: Measured, seeds: Sequence[Mapping[str, Measure]]
) -> list[dict[str, Any]]:
    """A row a measure that all runs have of the same items; what is left out is told."""
    rows = []
    runs = [*short.values(), *long.values(), *seeds]
    for name in short[BASE]:
        try:
            # Of one item nothing can be said of others.
            if all(name in each and len(each[name].ids) > 1 for each in runs):
                rows.append(measure_row(name, short, long, seeds))
        except (DifferentItemsError, DifferentWeightsError) as error:
            print(f"left out: {error}", file=sys.stderr)
    return rows


def report(pairs: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> None:
    """For people."""
    print(f"\n{'bits per byte':44} {'short':>30} {'long':>30}")
    for row in pairs:
        said = {None: "", True: "  agrees", False: "  DOES NOT AGREE"}[row["agrees"]]
        sides = [f"{row[length]['change']:+.4f} {row[length]['verdict']:>15}" for length in LENGTHS]
        print(f"{row['name']:44} {sides[0]:>30} {sides[1]:>30}{said}")
    print(
        f"\n{'measure':32} {'items':>7} {'signal':>9} {'items ±':>9} {'seeds ±':>9} "
        f"{'s/n items':>9} {'s/n seeds':>9} {'dared':>6} {'agree':>6}"
    )
    for row in rows:
        figures = [
            "–" if row[name] is None else f"{row[name]:.3g}"
            for name in ("signal", "item_noise", "seed_noise")
        ]
        ratios = [
            "–" if row[name] is None else f"{row[name]:.2f}"
            for name in ("signal_over_item_noise", "signal_over_seed_noise")
        ]
        agree = "–" if row["agreement"] is None else f"{row['agreement']:.2f}"
        columns = " ".join(f"{each:>9}" for each in [*figures, *ratios])
        print(f"{row['name'][:32]:32} {row['items']:>7} {columns} {row['dared']:>6} {agree:>6}")


def _share(pairs: Sequence[Mapping[str, Any]]) -> str:
    dared = [row["agrees"] for row in pairs if row["agrees"] is not None]
    return f"{sum(dared)} of {len(dared)} verdicts dared on {len(pairs)} pairs"


def main() -> None:
    """Run, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--minutes", type=float, default=5.0, help="of a short run")
    parser.add_argument("--tokens", type=int, help="of a short run, in place of --minutes")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="files, a source each")
    parser.add_argument("--seeds", type=int, default=5, help="of the first recipe's short run")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="FIELD=VALUE")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs at once")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_recipe(folder, args.data, args.changes)
    os.environ.update(INGOT_ROOT=str(folder), INGOT_HOME=str(folder / "home"), OMP_NUM_THREADS="1")
    prepare_environment()
    began = time.monotonic()
    recipe = str(folder / "signal.yaml")
    stages = planner(recipe).chain.ancestors(TRAIN) - {TRAIN}
    plan = planner(recipe, only=sorted(stages))
    build(plan)
    rate = None if args.tokens else pace(plan)
    batch = plan.configs[TRAIN].batch_tokens  # type: ignore[attr-defined]
    tokens = args.tokens or round(rate * args.minutes * 60 / batch) * batch  # type: ignore[operator]
    print(
        f"{tokens:,} tokens a short run, {LONGER * tokens:,} a long one"
        + (f"; {rate:,.0f} a second" if rate else ""),
        file=sys.stderr,
    )
    tried = write_experiments(folder, args.data, args.seeds, tokens)
    asked = {length: question(f"{length}.yaml") for length in LENGTHS}
    for (_, seed), each in asked["short"].plans.items():
        if seed == 0:
            built_before(each)
    run_all(asked, args.seeds, args.workers)
    found = measures(asked)
    short, long = (first_seeds(found[length]) for length in LENGTHS)
    seeds = [each for (variant, _), each in found["short"].items() if variant == BASE]
    early, late = (verdicts(each, BITS_PER_BYTE) for each in (short, long))
    pairs = pair_rows(beyond_seeds(early, BITS_PER_BYTE, seeds), late)
    of_items = pair_rows(early, late)
    rows = measure_rows(short, long, seeds)
    report(pairs, rows)
    value = agreement(pairs)
    holds = value is not None and value >= AGREEMENT
    verdict = "holds" if holds else "does not hold"
    print(f"\nagreement: {_share(pairs)} (bar {AGREEMENT}: {verdict})")
    print(
        f"by documents alone, whatever another seed would say: {_share(of_items)}; "
        f"{time.monotonic() - began:.0f} s"
    )
    record = {
        "benchmark": "evaluation_signal",
        "input": {
            "text": [path.name for path in args.data] or "documentation of installed packages",
            "changes": args.changes,
            "minutes": None if args.tokens else args.minutes,
            "tokens": [tokens, LONGER * tokens],
            "seeds": args.seeds,
            "recipes": {BASE: {}, **tried},
            "bits_per_byte": {
                length: {name: each[BITS_PER_BYTE].value for name, each in runs.items()}
                for length, runs in (("short", short), ("long", long))
            },
            "by_documents_alone": {
                "dared": sum(row["agrees"] is not None for row in of_items),
                "agreement": agreement(of_items),
            },
            "cores": os.cpu_count(),
        },
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "rows": [*pairs, *rows],
        "bars": [{"name": "agreement", "value": value, "target": AGREEMENT, "holds": holds}],
    }
    print(json.dumps(record, allow_nan=False))


if __name__ == "__main__":
    main()
