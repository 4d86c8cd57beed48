"""What trainings at several widths and rates say: the best rate of each width, and its spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.short_runs import Outcome
from tasks.panels.pictures import standalone
from tasks.panels.svg import line_chart


def transfer_rows(outcomes: Mapping[tuple[Any, ...], Outcome]) -> list[dict[str, Any]]:
    """A row for each optimiser and parametrisation: losses by width and rate, and best rates."""
    rows = []
    for kind in dict.fromkeys(key[:2] for key in outcomes):
        widths: dict[int, dict[float, float]] = {}
        for width, rate in dict.fromkeys(key[2:4] for key in outcomes if key[:2] == kind):
            held = [
                outcome.bits_per_byte
                for key, outcome in outcomes.items()
                if key[:4] == (*kind, width, rate)
            ]
            widths.setdefault(width, {})[rate] = sum(held) / len(held)
        best = {width: best_rate(losses) for width, losses in widths.items()}
        rates = [rate for rate, _ in best.values()]
        rows.append(
            {
                "name": f"transfer {kind[0]} {kind[1]}",
                "bits_per_byte": widths,
                "best_rate": {width: rate for width, (rate, _) in best.items()},
                "inside": all(inside for _, inside in best.values()),
                "spread": max(rates) / min(rates),
            }
        )
    return rows


def best_rate(losses: Mapping[float, float]) -> tuple[float, bool]:
    """The rate with the lowest loss, and whether it lies inside those tried.

    It is the lowest point of the parabola through the lowest loss and its two neighbours, over the
    logarithm of the rate; at an end, or beside a run that diverged, the rate that was tried.
    """
    rates = sorted(losses)
    place = min(range(len(rates)), key=lambda each: losses[rates[each]])
    if place in (0, len(rates) - 1):
        return rates[place], False
    near = rates[place - 1 : place + 2]
    x, y = np.log(near), np.array([losses[rate] for rate in near])
    if not np.isfinite(y).all():
        return rates[place], True
    curvature, slope, _ = np.polyfit(x - x[1], y, 2)
    if curvature <= 0:  # all three are equal
        return rates[place], True
    return float(math.exp(x[1] - slope / (2 * curvature))), True


def draw(transfer: Sequence[Mapping[str, Any]], plot: Path) -> None:
    """Loss over rate, a line a width; a file for each row, its name behind that of the plot."""
    for row in transfer:
        series = {
            f"width {width}": [(rate, loss) for rate, loss in sorted(losses.items())]
            for width, losses in row["bits_per_byte"].items()
        }
        title = f"Validation bits per byte over the learning rate, {row['name']}"
        drawn = line_chart(title, "learning rate", "bits per byte", series, True, False)
        place = plot.with_stem(f"{plot.stem}-{row['name'].replace(' ', '-')}")
        if drawn:
            place.write_text(standalone(drawn), encoding="utf-8")
            print(f"drawn: {place}")
