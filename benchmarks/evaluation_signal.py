"""Whether the verdict on two recipes after minutes of training is that of runs eight times as long.

    python -m benchmarks.evaluation_signal --folder FOLDER [--minutes 5] [--data FILE ...]

Seven recipes that differ in their filter, mixture, learning rate or size are trained for a short
and for eight times as long a time: 21 pairs. Of each pair both lengths say which recipe is better,
by paired intervals of bits per byte on the same validation documents, none of which a recipe has
in its training text. Where the short runs dare a verdict, the long ones have to give the same one;
a long one that sees no difference does not agree.

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
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.verdicts import Measured, agreement, measure_row, pair_rows, verdicts
from flows.experiment_plan import Question, question
from flows.home import prepare_environment
from flows.planning import planner
from llm.evaluation.measure import BITS_PER_BYTE, Measure
from tasks import forecasting
from tasks.comparison.contenders import contender
from tasks.engine.run.build import build
from tasks.engine.run.execute import execute
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store import channels
from tasks.experiments.definition import BASE, EVALUATE, TRAIN
from tasks.experiments.fixed_text import all_without, evaluation_request, text_of, trained_on
from tasks.small_runs import SmallRun, small_run

AGREEMENT = 0.9
LONGER = 8
LENGTHS = ("short", "long")
# Documentation by what it is about: a source each, so that a mixture can be tried.
PACKAGES = {
    "language": ["python", "mypy"],
    "science": ["sympy", "scipy", "pandas", "numpy", "networkx"],
    "services": ["torch", "sqlalchemy", "prefect", "huggingface-hub"],
}
RULES = [
    {"column": "language", "allowed": ["en"]},
    {"column": "word_count", "minimum": 20, "maximum": 200_000},
    {"column": "duplicate_10gram_char_fraction", "maximum": 0.3},
]
_PACE_STEPS = 150


def recipe_of(data: Sequence[Path]) -> dict[str, Any]:
    """The first recipe: the quickstart's model on documentation, or on files of one's own."""
    sources: list[dict[str, Any]] = [
        {"name": name, "kind": "pydocs", "distributions": packages}
        for name, packages in PACKAGES.items()
    ]
    if data:
        sources = [
            {"name": path.name.split(".")[0], "paths": [str(path.resolve())]} for path in data
        ]
    later = ("examples", "sft", "dpo", "decontaminate", "export", "report", "quality")
    return {
        "name": "signal",
        "extends": "quickstart",
        "source": {"sources": sources},
        "filter": {"rules": RULES},
        "pretrain": {"threads": 1, "device": "cpu"},
        "evaluate": {
            "validation_bytes": 1_000_000,
            "prompts": [],
            "continuations": [],
            "threads": 1,
            "device": "cpu",
        },
        **dict.fromkeys(later),
    }


def variants(source: str) -> dict[str, dict[str, Any]]:
    """In what six more recipes differ from the first.

    Args:
        source: what one of them trains on a quarter of.
    """
    return {
        "unfiltered": {"filter": None},
        "only long": {"filter.rules.1.minimum": 200},
        f"little {source}": {"pack.weights": [{"source": source, "epochs": 0.25}]},
        "slow": {"pretrain.learning_rate": 0.003},
        "fast": {"pretrain.learning_rate": 0.05},
        "small": {"pretrain.hidden_size": 64, "pretrain.intermediate_size": 192},
    }


def write_files(folder: Path, args: argparse.Namespace) -> None:
    """The recipe, and what is changed in it by way of its command line."""
    record = recipe_of(args.data)
    for change in args.changes:
        key, _, value = change.partition("=")
        stage, _, field = key.partition(".")
        record.setdefault(stage, {})[field] = yaml.safe_load(value)
    (folder / "signal.yaml").write_text(yaml.safe_dump(record, sort_keys=False))


def write_experiments(folder: Path, args: argparse.Namespace, tokens: int) -> None:
    """One of each length; the short one with further seeds of the first recipe."""
    [source] = [max(args.data, key=lambda path: path.stat().st_size)] if args.data else [None]
    mixed = variants(source.name.split(".")[0] if source else "science")
    for length, times, seeds in (("short", 1, range(args.seeds)), ("long", LONGER, range(1))):
        record = {
            "recipe": "signal.yaml",
            "name": f"signal-{length}",
            "tokens": tokens * times,
            "seeds": list(seeds),
            "variants": mixed,
        }
        (folder / f"{length}.yaml").write_text(yaml.safe_dump(record, sort_keys=False))


def pace(plan: Planner) -> float:
    """Tokens a second that the first recipe trains, compiled; kept in the store."""
    request = forecasting.request_of(plan)
    config: Any = request.config
    short = config.model_copy(
        update={"tokens": _PACE_STEPS * config.batch_tokens, "validate_every": _PACE_STEPS // 2}
    )
    found = small_run(execute(replace(request, config=short), plan.store).artifact)
    if not isinstance(found, SmallRun):
        raise SystemExit(f"the first recipe does not train: {found.why}")
    return found.tokens_per_second


def built_before(plan: Planner) -> None:
    """Build what pretraining reads."""
    stages = tuple(plan.chain.ancestors(TRAIN) - {TRAIN})
    build(replace(plan, selection=Selection(only=stages), artifacts={}, planned={}))


def run_one(length: str, variant: str, seed: int) -> float:
    """Train and measure, what is there already served; the seconds it took."""
    began = time.monotonic()
    plan = question(f"{length}.yaml").plans[variant, seed]
    base = question("short.yaml").base
    base.plan()
    build(plan)
    measured = execute(evaluation_request(plan, base), plan.store).artifact
    channels.point(plan.store, plan.name, measured)
    return time.monotonic() - began


def run_all(asked: Mapping[str, Question], seeds: int, workers: int) -> None:
    """Every recipe at both lengths, and further seeds of the first at the short one."""
    jobs = [
        (length, variant, 0)
        for length in reversed(LENGTHS)  # the long ones first: at the end no core waits for one
        for variant in dict.fromkeys(variant for variant, _ in asked[length].plans)
    ]
    jobs += [("short", BASE, seed) for seed in range(1, seeds)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        running = {pool.submit(run_one, *job): job for job in jobs}
        for done, future in enumerate(as_completed(running), 1):
            length, variant, seed = running[future]
            took = future.result()
            print(
                f"{done:3}/{len(jobs)}  {length:5} {variant:24} seed {seed}  {took:7.0f} s",
                flush=True,
            )


def measures(asked: Mapping[str, Question]) -> dict[str, dict[tuple[str, int], Any]]:
    """Of every run by length, on text that no recipe has trained on."""
    base = asked["short"].base
    plans = {
        (length, *run): plan
        for length, each in asked.items()
        for run, plan in each.plans.items()
        if channels.resolve(plan.store, plan.name, EVALUATE) is not None
    }
    for plan in plans.values():
        plan.plan()
    seen = trained_on(text_of(base), [text_of(plan) for plan in plans.values()])
    found: dict[str, dict[tuple[str, int], Any]] = {length: {} for length in LENGTHS}
    for (length, variant, seed), plan in plans.items():
        artifact = channels.resolve(plan.store, plan.name, EVALUATE)
        assert artifact is not None
        found[length][variant, seed] = all_without(contender(variant, artifact).measures, seen)
    return found


def first_seeds(runs: Mapping[tuple[str, int], Mapping[str, Measure]]) -> Measured:
    """By recipe."""
    return {variant: each for (variant, seed), each in runs.items() if seed == 0}


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


def main() -> None:
    """Run, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--minutes", type=float, default=5.0, help="of a short run")
    parser.add_argument("--tokens", type=int, help="of a short run, in place of --minutes")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="files, a source each")
    parser.add_argument("--seeds", type=int, default=3, help="of the first recipe's short run")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="FIELD=VALUE")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs at once")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, args)
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
    write_experiments(folder, args, tokens)
    asked = {length: question(f"{length}.yaml") for length in LENGTHS}
    for (_, seed), each in asked["short"].plans.items():
        if seed == 0:
            built_before(each)
    run_all(asked, args.seeds, args.workers)
    found = measures(asked)
    short, long = (first_seeds(found[length]) for length in LENGTHS)
    seeds = [each for (variant, _), each in found["short"].items() if variant == BASE]
    pairs = pair_rows(verdicts(short, BITS_PER_BYTE), verdicts(long, BITS_PER_BYTE))
    common = [name for name in short[BASE] if all(name in each for each in short.values())]
    rows = [measure_row(name, short, long, seeds) for name in common]
    report(pairs, rows)
    value = agreement(pairs)
    holds = value is not None and value >= AGREEMENT
    dared = sum(row["agrees"] is not None for row in pairs)
    agreeing = sum(row["agrees"] is True for row in pairs)
    verdict = "holds" if holds else "does not hold"
    print(
        f"\nagreement: {agreeing} of {dared} verdicts dared on {len(pairs)} pairs "
        f"(bar {AGREEMENT}: {verdict}); {time.monotonic() - began:.0f} s"
    )
    record = {
        "benchmark": "evaluation_signal",
        "input": {
            "text": [path.name for path in args.data] or "documentation of installed packages",
            "changes": args.changes,
            "minutes": None if args.tokens else args.minutes,
            "tokens": [tokens, LONGER * tokens],
            "seeds": args.seeds,
            "recipes": {BASE: {}, **_tried(folder)},
            "bits_per_byte": {
                length: {name: each[BITS_PER_BYTE].value for name, each in runs.items()}
                for length, runs in (("short", short), ("long", long))
            },
            "cores": os.cpu_count(),
        },
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "rows": [*pairs, *rows],
        "bars": [{"name": "agreement", "value": value, "target": AGREEMENT, "holds": holds}],
    }
    print(json.dumps(record))


def _tried(folder: Path) -> dict[str, Any]:
    tried: dict[str, Any] = yaml.safe_load((folder / "short.yaml").read_text())["variants"]
    return tried


if __name__ == "__main__":
    main()
