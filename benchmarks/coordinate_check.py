"""Whether activations, and what a step changes of them, keep their size as a model grows.

    python -m benchmarks.coordinate_check [--text FILE] [--plot FILE.svg]

The check of Yang et al. (2022, appendix D.1) on the model as it trains: models of several widths,
and of several depths, take a few steps on the same rows; after each step the mean size of
activations on fixed rows is taken, and of what has changed in them since the first. In the standard
parametrisation the changes grow with the model, so that a larger one wants a smaller rate; under
µP they stay.

| | |
|---|---|
| embedding | what the residual stream begins with |
| attention, mlp | what these branches add to it, the mean over blocks |
| stream | it at its end, before the final norm |
| logits | |

`growth` is the figure of the largest model over that of the smallest, which is µP's base;
`mup_growth` is the largest growth, or its inverse where it shrinks, of what changes in stream and
logits, over both optimisers, widths and depths.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.short_runs import CPU, sized
from benchmarks.training_text import from_text
from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.parametrisation_choice import Kind, Parametrisation
from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.tokens.token_file import TokenFile
from llm.training.distributed import Processes
from llm.training.planner.constant_rate import constant_rate
from llm.training.run_file import Optimiser
from llm.training.single_process import Single
from llm.training.step import Stepper
from tasks.panels.pictures import standalone
from tasks.panels.svg import line_chart

QUANTITIES = ("embedding", "attention", "mlp", "stream", "logits")
GROWTH = 2.0  # at most, of what changes in stream and logits under µP
_HERE = Path(__file__)


@contextmanager
def _listening(model: Transformer) -> Iterator[dict[str, list[Tensor]]]:
    """Activations of the forward passes meanwhile, by quantity."""
    heard: dict[str, list[Tensor]] = defaultdict(list)

    def keep(name: str) -> Any:
        def hook(module: nn.Module, given: Any, made: Tensor) -> None:
            heard[name].append(given[0] if name == "stream" else made)

        return hook

    modules: list[tuple[str, nn.Module]] = [
        ("embedding", model.model.embed_tokens),
        ("stream", model.model.norm),
        ("logits", model.lm_head),
        *(("attention", block.self_attn) for block in model.model.blocks),
        *(("mlp", block.mlp) for block in model.model.blocks),
    ]
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def activations(model: Transformer, inputs: Tensor) -> dict[str, list[Tensor]]:
    """Of a forward pass, by quantity; a tensor a block of those that blocks have."""
    with torch.no_grad(), _listening(model) as heard:
        model(inputs)
    return dict(heard)


def check(
    architecture: Architecture,
    tokens: TokenFile,
    optimiser: Optimiser,
    parametrisation: Parametrisation,
    rate: float,
    steps: int,
    rows: int,
) -> dict[str, list[tuple[float, float]]]:
    """By quantity: mean size, and mean size of its change, before the first and after each step."""
    alone = Single(CPU, Processes(0, 1))
    o = replace(
        constant_rate(rows, "fp32", optimiser),
        learning_rate=rate,
        parametrisation=parametrisation,
    )
    model = Transformer(architecture)
    initialise(model, 0, parametrisation)
    step = Stepper(alone.wrap(model), o, tokens, CPU, alone, 0, StopRequest())
    inputs = torch.from_numpy(tokens.train[:2, :-1].astype(np.int64))
    first = activations(model, inputs)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in QUANTITIES}
    for number in range(steps + 1):
        if number:
            at = number * rows
            step(number - 1, np.arange(at, at + rows) % len(tokens.train))
        now = activations(model, inputs)
        for name in QUANTITIES:
            changes = [new - old for new, old in zip(now[name], first[name], strict=True)]
            found[name].append((_size(now[name]), _size(changes)))
    return found


def _size(values: Sequence[Tensor]) -> float:
    return float(torch.stack([value.abs().mean() for value in values]).mean())


def measure(
    tokens: TokenFile,
    sizes: Mapping[str, Sequence[tuple[int, int]]],
    rate: float,
    steps: int,
    rows: int,
) -> list[dict[str, Any]]:
    """A row for each optimiser, parametrisation, way to grow and quantity.

    Args:
        sizes: way to grow -> widths and layers, the base first.
    """
    found = []
    for optimiser in get_args(Optimiser):
        for kind in get_args(Kind):
            for grown, models in sizes.items():
                width, layers = models[0]
                base = Parametrisation(kind, width, layers, 32, zero_init=False)
                told = {
                    f"{width} x {layers}": check(
                        sized(width, layers, tokens.vocabulary_size, tokens.sequence_length),
                        tokens,
                        optimiser,
                        base,
                        rate,
                        steps,
                        rows,
                    )
                    for width, layers in models
                }
                found += [_row(optimiser, kind, grown, name, told) for name in QUANTITIES]
    return found


def _row(
    optimiser: str, kind: str, grown: str, quantity: str, told: Mapping[str, Any]
) -> dict[str, Any]:
    figures = {model: by_quantity[quantity] for model, by_quantity in told.items()}
    smallest, *_, largest = figures.values()
    return {
        "name": f"{optimiser} {kind} {grown} {quantity}",
        "optimiser": optimiser,
        "parametrisation": kind,
        "grown": grown,
        "quantity": quantity,
        "sizes": {model: [size for size, _ in told] for model, told in figures.items()},
        "changes": {model: [change for _, change in told] for model, told in figures.items()},
        "growth": largest[-1][1] / smallest[-1][1],
    }


def mup_growth(rows: Sequence[Mapping[str, Any]]) -> float:
    """See the head of this file."""
    return max(
        max(row["growth"], 1 / row["growth"])
        for row in rows
        if row["parametrisation"] == "mup" and row["quantity"] in ("stream", "logits")
    )


def report(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table for each optimiser, parametrisation and way to grow: what changed in all steps."""
    for start in range(0, len(rows), len(QUANTITIES)):
        part = rows[start : start + len(QUANTITIES)]
        title = f"{part[0]['optimiser']}, {part[0]['parametrisation']}, {part[0]['grown']}"
        heads = " ".join(f"{model:>10}" for model in part[0]["changes"])
        print(f"\n{title + ': change':32} {heads} {'growth':>8}   size, first and last model")
        for row in part:
            changes = " ".join(f"{told[-1]:10.4f}" for told in row["changes"].values())
            sizes = list(row["sizes"].values())
            ends = f"{sizes[0][-1]:.4f} {sizes[-1][-1]:.4f}"
            print(f"{row['quantity']:32} {changes} {row['growth']:8.2f}   {ends}")


def draw(rows: Sequence[Mapping[str, Any]], plot: Path) -> None:
    """What changed in the stream and the logits over the size, a file for each way to grow."""
    for grown in dict.fromkeys(row["grown"] for row in rows):
        series = {}
        for row in rows:
            if row["grown"] == grown and row["quantity"] in ("stream", "logits"):
                axis = 0 if grown == "width" else 1
                series[f"{row['optimiser']} {row['parametrisation']} {row['quantity']}"] = [
                    (float(model.split(" x ")[axis]), told[-1])
                    for model, told in row["changes"].items()
                ]
        title = f"Change of activations over {grown}"
        drawn = line_chart(title, grown, "mean size of the change", series, True, True)
        place = plot.with_stem(f"{plot.stem}-{grown}")
        if drawn:
            place.write_text(standalone(drawn), encoding="utf-8")
            print(f"drawn: {place}")


def main() -> None:
    """Run, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, default=_HERE.parents[1] / "docs/stages/pretrain.md")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rows", type=int, default=8, help="of a step")
    parser.add_argument("--length", type=int, default=64, help="tokens of a row")
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--plot", type=Path, help="SVG files to draw changes into")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        text = from_text(args.text, args.vocabulary, args.length, Path(name))
        sizes = {
            "width": [(width, args.depths[0]) for width in args.widths],
            "depth": [(args.widths[0], layers) for layers in args.depths],
        }
        rows = measure(text.open(), sizes, args.learning_rate, args.steps, args.rows)
    report(rows)
    if args.plot:
        draw(rows, args.plot)
    value = mup_growth(rows)
    holds = value <= GROWTH
    print(f"\nmup_growth: {value:.2f} (bar {GROWTH}: {'holds' if holds else 'does not hold'})")
    given = {key: value for key, value in vars(args).items() if not isinstance(value, Path)}
    record = {
        "benchmark": "coordinate_check",
        "input": {**given, "text": args.text.name},
        "versions": {"torch": torch.__version__},
        "rows": rows,
        "bars": [{"name": "mup_growth", "value": value, "target": GROWTH, "holds": holds}],
    }
    print(json.dumps(record, default=str))


if __name__ == "__main__":
    main()
