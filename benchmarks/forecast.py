"""A forecast against what came: the recipe's own run, and small runs it did not rest on.

    python -m benchmarks.forecast --recipe quickstart

Builds what `pretrain` reads, the five small runs of `ingot forecast`, the run they forecast, and
ten more of other sizes and lengths; whatever the home has already is not trained again. Times are
worth something on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from flows.home import prepare_environment
from flows.planning import planner
from llm.training.planner.loss_fit import LossFit
from tasks import forecasting, small_runs
from tasks.engine.progress import Figure
from tasks.engine.run.build import build
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.artifact import Artifact
from tasks.small_runs import SmallRun

# Width and depth, and tokens, of the runs that are not fitted, as shares of the recipe's own.
HELD_OUT = (
    *((share, part) for share in (0.5, 0.75, 1.0) for part in (0.125, 0.1875, 0.375)),
    (0.75, 0.5),
)
BARS = {"relative_error": 0.01, "coverage": 0.9, "time_error": 0.1}


class Speaking:
    """Says which run is under way, and how it ends; a `Listener`."""

    def log(self, stage: str, message: str) -> None:
        if "bits per byte" not in message:
            print(f"  {message}", file=sys.stderr)

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        return  # a bar for each of sixteen runs would say little

    def cancelled(self) -> bool:
        return False


def trained(request: BuildRequest, config: Any) -> tuple[SmallRun, Artifact]:
    """A run with another config, from the store or made."""
    store = request.inputs["sequences"][0].store
    artifact = execute(replace(request, config=config), store, Speaking()).artifact
    found = small_runs.small_run(artifact)
    if not isinstance(found, SmallRun):
        raise SystemExit(f"{artifact.folder}: {found.why}")
    print(
        f"{found.parameters / 1e6:.2f} M parameters, {found.tokens / 1e6:.2f} M tokens: "
        f"{found.loss:.4f} bits a byte, {artifact.manifest.timings.seconds:.0f} s",
        file=sys.stderr,
    )
    return found, artifact


def main() -> None:
    """Run, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="FIELD=VALUE")
    parser.add_argument("--longest", type=float, default=forecasting.LONGEST, metavar="SHARE")
    parser.add_argument("--held-out", type=int, default=len(HELD_OUT), help="small runs beside")
    args = parser.parse_args()
    prepare_environment()
    chain = planner(args.recipe, args.changes).chain
    before = [name for name in chain.ancestors("pretrain") if name != "pretrain"]
    plan = planner(args.recipe, args.changes, only=before)
    build(plan)
    target = forecasting.request_of(plan)
    config = forecasting.config_of(target)
    _, tokens = forecasting.size_of(target)

    began = time.monotonic()
    rungs = forecasting.ladder(config, tokens, args.longest)
    small = [trained(target, each) for each in rungs]
    small_seconds = sum(artifact.manifest.timings.seconds for _, artifact in small)
    runs = [run for run, _ in small]
    said = forecasting.forecast(target, runs, [])
    truth, artifact = trained(target, config)
    took = artifact.manifest.timings.seconds

    fit, rows, held = LossFit([run.observation for run in runs]), [], 0
    for share, part in HELD_OUT[: args.held_out]:
        run, _ = trained(target, forecasting.smaller(config, share, round(tokens * part)))
        found = fit.forecast(run.parameters, run.tokens)
        inside = found.low <= run.loss <= found.high
        held += inside
        rows.append(
            {
                "name": f"{share:g} of the size, {part:g} of the tokens",
                "parameters": run.parameters,
                "tokens": run.tokens,
                "bits_per_byte": round(run.loss, 4),
                "forecast": round(found.loss, 4),
                "low": round(found.low, 4),
                "high": round(found.high, 4),
                "inside": inside,
            }
        )
    whole = {
        "name": "the recipe's own",
        "parameters": truth.parameters,
        "tokens": truth.tokens,
        "bits_per_byte": round(truth.loss, 4),
        "forecast": round(said.bits, 4),
        "low": round(said.low, 4),
        "high": round(said.high, 4),
        "inside": said.low <= truth.loss <= said.high,
        "seconds": round(took, 1),
        "seconds_forecast": said.seconds and round(said.seconds, 1),
    }
    measured = {
        "relative_error": abs(said.bits / truth.loss - 1),
        "coverage": held / len(rows) if rows else 0.0,
        "time_error": abs((said.seconds or 0.0) / took - 1),
    }
    fitted = [
        {"name": "fitted", "parameters": run.parameters, "tokens": run.tokens,
         "bits_per_byte": round(run.loss, 4)}
        for run in runs
    ]  # fmt: skip
    print(f"{'':36} {'bits a byte':>11} {'forecast':>9}   90 %")
    for row in [*rows, whole]:
        print(
            f"{row['name']:36} {row['bits_per_byte']:>11.4f} {row['forecast']:>9.4f}   "
            f"{row['low']:.4f} to {row['high']:.4f}{'' if row['inside'] else '  outside'}"
        )
    bars = [
        {
            "name": name,
            "value": round(value, 4),
            "target": BARS[name],
            "holds": value >= BARS[name] if name == "coverage" else value <= BARS[name],
        }
        for name, value in measured.items()
    ]
    for bar in bars:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']} (bar {bar['target']}: {verdict})")
    print(f"five small runs: {small_seconds / 60:.1f} min; all: {time.monotonic() - began:.0f} s")
    record = {
        "benchmark": "forecast",
        "input": {
            "recipe": Path(args.recipe).name,
            "changes": args.changes,
            "longest": args.longest,
            "cores": os.cpu_count(),
            "small_runs_seconds": round(small_seconds, 1),
        },
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "rows": [*fitted, *rows, whole],
        "bars": bars,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
