"""Which optimiser, first weights and schedule end lower, and whether the best rate stays.

    python -m benchmarks.optimizer --text FILE [--only grid|choices|transfer] [--plot FILE.svg]
    python -m benchmarks.optimizer --tokens FOLDER --tokenizer FOLDER

grid: AdamW and Muon, each with standard, zero and µP first weights and with cosine and WSD, at
equal tokens and several seeds; of several `--grid-rates` each combination has its best.
`muon_gain` is what the best of Muon has less than the best of AdamW, as a share of the latter.

choices: Muon with standard first weights and WSD, heads of 32, tied, rope base 1e4; and the same
with one thing changed, seed by seed.

transfer: one model at several widths, each trained at several rates. The best rate is the lowest
point of the parabola through the lowest loss and its neighbours, over the logarithm of the rate.
`mup_transfer_spread` is the largest best rate of µP over the smallest; 1 = the same at all widths.
AdamW needs more steps than the few here to leave its first plateau, where its best rate is chance.
A best rate at the end of those tried is one that lies beyond them: the spread is a lower bound
then, and the bar does not hold.

The text is cut into rows by a BPE trained on it; its last tenth is validated on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.combinations import choice_rows, grid_rows, muon_gain
from benchmarks.rate_transfer import draw, transfer_rows
from benchmarks.short_runs import Job, sized, train_all
from benchmarks.training_text import TrainingText, from_sequences, from_text
from llm.model.architecture import Architecture
from llm.model.parametrisation_choice import Kind, Parametrisation
from llm.training.planner.constant_rate import constant_rate
from llm.training.run_file import Optimiser, Schedule

GAIN = 0.02  # of AdamW's bits per byte, that Muon has to be better
SPREAD = 1.5  # of best rates under µP, at most
PARTS = ("grid", "choices", "transfer")
FIRST_WEIGHTS = ("standard", "zero", "mup")
# What is otherwise than in the first: of the architecture, and of the optimisation.
CHOICES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "z-loss 1e-5": ({}, {"z_loss": 1e-5}),
    "untied": ({"tied": False}, {}),
    "heads of 64": ({"head_dim": 64}, {}),
    "heads of 128": ({"head_dim": 128}, {}),
    "rope base 1e5": ({"rope_theta": 1e5}, {}),
    "without qk-norm": ({"qk_norm": False}, {}),
}
OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
_WARMUP = 0.1  # share of the steps in which the rate rises


def parametrisation(name: str, base_width: int, base_layers: int) -> Parametrisation:
    """By its name here: "zero" is the standard one with projections that start as zeros."""
    kind: Kind = "mup" if name == "mup" else "standard"
    return Parametrisation(kind, base_width, base_layers, 32, zero_init=name == "zero")


def job(
    args: argparse.Namespace, text: TrainingText, architecture: Architecture, **settings: Any
) -> Job:
    """A training of so many steps, the first tenth of them warm-up."""
    steps = settings["steps"]
    o = constant_rate(args.batch_rows, "auto")
    o = replace(
        o,
        warmup_steps=round(steps * _WARMUP),
        decay_share=0.4,
        final_share=0.0,
        validation_rows=args.validation_rows,
        **settings,
    )
    return Job(architecture, o, text)


def grid_jobs(args: argparse.Namespace, text: TrainingText) -> dict[tuple[Any, ...], Job]:
    """Every combination, by optimiser, first weights, schedule, rate and seed."""
    architecture = _sized(args, text, args.width)
    jobs = {}
    for key in itertools.product(
        get_args(Optimiser),
        FIRST_WEIGHTS,
        get_args(Schedule),
        args.grid_rates,
        range(args.seeds),
    ):
        optimiser, weights, schedule, rate, seed = key
        jobs[key] = job(
            args,
            text,
            architecture,
            steps=args.steps,
            optimiser=optimiser,
            parametrisation=parametrisation(weights, args.base_width, args.layers),
            schedule=schedule,
            learning_rate=rate,
            seed=seed,
        )
    return jobs


def choice_jobs(args: argparse.Namespace, text: TrainingText) -> dict[tuple[Any, ...], Job]:
    """By what is otherwise than in `CHOICES`' first entry, and seed: Muon, standard, WSD."""
    plain = _sized(args, text, args.width)
    jobs = {}
    for (name, (shape, settings)), seed in itertools.product(CHOICES.items(), range(args.seeds)):
        architecture = replace(plain, **shape)
        if "head_dim" in shape:  # as many numbers in all heads together
            heads = max(1, args.width // architecture.head_dim)
            architecture = replace(architecture, heads=heads, key_value_heads=max(1, heads // 2))
        jobs[name, seed] = job(
            args,
            text,
            architecture,
            steps=args.steps,
            optimiser="muon",
            learning_rate=args.grid_rates[0],
            seed=seed,
            **settings,
        )
    return jobs


def transfer_jobs(args: argparse.Namespace, text: TrainingText) -> dict[tuple[Any, ...], Job]:
    """By optimiser, parametrisation, width, rate and seed; µP from the smallest width on."""
    jobs = {}
    for key in itertools.product(
        args.transfer_optimisers,
        ("standard", "mup"),
        args.widths,
        args.rates,
        range(args.transfer_seeds),
    ):
        optimiser, weights, width, rate, seed = key
        jobs[key] = job(
            args,
            text,
            _sized(args, text, width),
            steps=args.transfer_steps,
            optimiser=optimiser,
            parametrisation=parametrisation(weights, min(args.widths), args.layers),
            schedule="wsd",
            learning_rate=rate,
            seed=seed,
        )
    return jobs


def bars(
    grid: Sequence[Mapping[str, Any]], transfer: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Of what was measured."""
    found: list[dict[str, Any]] = []
    if grid:
        gain = muon_gain(grid)
        found.append({"name": "muon_gain", "value": gain, "target": GAIN, "holds": gain >= GAIN})
    for row in transfer:
        if row["name"].endswith(" mup"):
            holds = row["inside"] and row["spread"] <= SPREAD
            bar = {"name": "mup_transfer_spread", "of": row["name"], "value": row["spread"]}
            found.append({**bar, "target": SPREAD, "holds": holds})
    return found


def report(
    grid: Sequence[Mapping[str, Any]],
    choices: Sequence[Mapping[str, Any]],
    transfer: Sequence[Mapping[str, Any]],
) -> None:
    """For people."""
    if grid:
        print(f"\n{'':28} {'rate':>8} {'bits per byte':>16} {'tokens/s':>10}")
    for row in grid:
        rate = f"{row['learning_rate']:g}"
        print(f"{row['name']:28} {rate:>8} {_measured(row):>16} {row['tokens_per_second']:>10,}")
    if choices:
        print(f"\n{'':28} {'bits per byte':>16} {'difference':>18}")
    for row in choices:
        difference = f"{row['difference']:+.4f} ± {row['difference_spread']:.4f}"
        print(f"{row['name']:28} {_measured(row):>16} {difference:>18}")
    for row in transfer:
        rates = sorted(next(iter(row["bits_per_byte"].values())))
        heads = " ".join(f"{rate:>8.2g}" for rate in rates)
        print(f"\n{row['name']:28} {heads} {'best':>9}")
        for width, losses in row["bits_per_byte"].items():
            values = " ".join(f"{losses[rate]:8.4f}" for rate in rates)
            print(f"{'width ' + str(width):28} {values} {row['best_rate'][width]:9.2g}")
        note = "" if row["inside"] else " or more: a best rate is at the end of those tried"
        print(f"best rates differ by a factor of {row['spread']:.2f}{note}")


def _measured(row: Mapping[str, Any]) -> str:
    return f"{row['bits_per_byte']:.4f} ± {row['spread']:.4f}"


def main() -> None:
    """Run, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help=".txt or .jsonl, either as .gz")
    parser.add_argument("--tokens", type=Path, help="folder of pack.sequences, in place of a text")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer of --tokens")
    parser.add_argument("--only", choices=PARTS, help="one of them")
    parser.add_argument("--vocabulary", type=int, default=1024, help="of the BPE of --text")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row of --text")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-rows", type=int, default=8)
    parser.add_argument("--validation-rows", type=int, default=96)
    parser.add_argument("--width", type=int, default=128, help="of the grid's model")
    parser.add_argument("--base-width", type=int, default=64, help="of µP in the grid")
    parser.add_argument("--steps", type=int, default=120, help="of each run of the grid")
    parser.add_argument("--seeds", type=int, default=3, help="of the grid")
    parser.add_argument("--grid-rates", type=float, nargs="+", default=[4e-3])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-3, 4e-3, 8e-3, 16e-3, 32e-3])
    parser.add_argument("--transfer-steps", type=int, default=80)
    parser.add_argument("--transfer-seeds", type=int, default=1)
    parser.add_argument("--transfer-optimisers", nargs="+", default=["muon"], choices=OPTIMISERS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs at once")
    parser.add_argument("--plot", type=Path, help="SVG files to draw the transfer into")
    args = parser.parse_args()
    if (args.text is None) == (args.tokens is None) or (args.tokens and not args.tokenizer):
        parser.error("give --text, or --tokens with --tokenizer")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        text = (
            from_text(args.text, args.vocabulary, args.length, Path(name))
            if args.text
            else from_sequences(args.tokens, args.tokenizer, Path(name))
        )
        opened = text.open()
        print(
            f"{len(opened.train):,} rows of {opened.sequence_length} tokens to train on, "
            f"{len(opened.validation):,} to validate on",
            flush=True,
        )
        jobs: dict[tuple[Any, ...], Job] = {}
        makers = dict(zip(PARTS, (grid_jobs, choice_jobs, transfer_jobs), strict=True))
        for part in [args.only] if args.only else PARTS:
            jobs |= {(part, *key): each for key, each in makers[part](args, text).items()}
        found = train_all(jobs, args.workers)
    grid, choices, transfer = (
        make({key[1:]: outcome for key, outcome in found.items() if key[0] == part})
        for part, make in zip(PARTS, (grid_rows, choice_rows, transfer_rows), strict=True)
    )
    report(grid, choices, transfer)
    if args.plot:
        draw(transfer, args.plot)
    reached = bars(grid, transfer)
    for bar in reached:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']:.3f} (bar {bar['target']}: {verdict})")
    given = {name: value for name, value in vars(args).items() if not isinstance(value, Path)}
    source = (args.text or args.tokens).name
    record = {
        "benchmark": "optimizer",
        "input": {**given, "text": source, "seconds": round(time.monotonic() - began)},
        "versions": {"torch": torch.__version__},
        "rows": [*grid, *choices, *transfer],
        "bars": reached,
    }
    print(json.dumps(record, default=str))


def _sized(args: argparse.Namespace, text: TrainingText, width: int) -> Architecture:
    opened = text.open()
    return sized(width, args.layers, opened.vocabulary_size, opened.sequence_length)


if __name__ == "__main__":
    main()
