"""The runs behind `evaluation_signal`: seven recipes at two lengths, kept in a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from benchmarks.verdicts import Measured
from flows.experiment_plan import Question, question
from llm.evaluation.measure import Measure
from tasks import forecasting
from tasks.comparison.contenders import contender
from tasks.engine.run.build import build
from tasks.engine.run.execute import execute
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store import channels
from tasks.experiments.definition import BASE, EVALUATE, TRAIN
from tasks.experiments.fixed_text import all_without, evaluation_request, text_of, trained_on
from tasks.small_runs import SmallRun, small_run

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


def write_recipe(folder: Path, data: Sequence[Path], changes: Sequence[str]) -> None:
    """The first recipe, with `stage.field=value` set."""
    record = recipe_of(data)
    for change in changes:
        key, _, value = change.partition("=")
        stage, _, field = key.partition(".")
        record.setdefault(stage, {})[field] = yaml.safe_load(value)
    (folder / "signal.yaml").write_text(yaml.safe_dump(record, sort_keys=False))


def write_experiments(
    folder: Path, data: Sequence[Path], seeds: int, tokens: int
) -> dict[str, dict[str, Any]]:
    """One of each length, the short one with further seeds; what its variants differ in."""
    largest = max(data, key=lambda path: path.stat().st_size).name if data else "science"
    tried = variants(largest.split(".")[0])
    for length, times, count in (("short", 1, seeds), ("long", LONGER, 1)):
        record = {
            "recipe": "signal.yaml",
            "name": f"signal-{length}",
            "tokens": tokens * times,
            "seeds": list(range(count)),
            "variants": tried,
        }
        (folder / f"{length}.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    return tried


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
