"""How many operations a second a device does in training: measured once, and remembered.

What counts is what models reach, by their size: small ones leave a device idle between kernels.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from llm.errors import ExpectedError


class UnknownRateError(ExpectedError, LookupError):
    """Nobody has measured this device."""


@dataclass(frozen=True)
class Rate:
    """Of a device.

    Attributes:
        device: its name.
        precision: of the products, "bf16" or "fp32".
        points: (parameters, FLOP/s) of the models measured, the smallest first.
        source: where that is from.
    """

    device: str
    precision: str
    points: tuple[tuple[int, float], ...]
    source: str

    def flops_per_second(self, parameters: int) -> float:
        """For a model of this size: between two that were measured by the line through their
        logarithms, beyond them what the nearest does."""
        points = sorted(self.points)
        if parameters <= points[0][0]:
            return points[0][1]
        for (low, low_rate), (high, high_rate) in pairwise(points):
            if parameters <= high:
                share = math.log(parameters / low) / math.log(high / low)
                return float(low_rate * (high_rate / low_rate) ** share)
        return points[-1][1]


# Of devices that are not at hand. FLOP/s = MFU x 989 TFLOP/s, one GPU, blocks compiled.
_H200 = ((125_858_560, 0.491 * 989e12), (335_600_640, 0.5165 * 989e12), (1_036_000_000, 5.657e14))
_MEASURED: Mapping[str, Rate] = {
    "h200": Rate("NVIDIA H200", "bf16", _H200, "benchmarks/results/gpu-h200-2026-11-third.json"),
}
# Memory a device has, GB; sources: NVIDIA's data sheets.
MEMORY_GB: Mapping[str, float] = {"h200": 141.0, "h100": 80.0, "a100": 80.0, "l40s": 48.0}


def measured_elsewhere(device: str) -> Rate:
    """The rate of a device by its short name.

    Raises:
        UnknownRateError: none is known.
    """
    found = _MEASURED.get(device.lower())
    if found is None:
        raise UnknownRateError(
            f"{device!r} has no measured rate; known are this machine's own (auto) and "
            f"{', '.join(_MEASURED)}. On a machine that has one, `ingot size --measure` measures "
            "it; or say what to reckon with: --teraflops"
        )
    return found


def read(folder: Path, device: str, precision: str) -> Rate | None:
    """What was measured of this device earlier, if anything was."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads(_file(folder, device, precision).read_text(encoding="utf-8"))
        points = tuple((int(size), float(rate)) for size, rate in record["points"])
        if points and all(rate > 0 for _, rate in points):
            return Rate(device, precision, points, f"measured here on {record['date']}")
    return None


def keep(
    folder: Path, device: str, precision: str, points: Sequence[tuple[int, float]], date: str
) -> None:
    """Remember what was measured."""
    path = _file(folder, device, precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"device": device, "precision": precision, "date": date, "points": list(points)}
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    aside.write_text(json.dumps(record, indent=1), encoding="utf-8")
    aside.replace(path)


def _file(folder: Path, device: str, precision: str) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return folder / "rates" / f"{name}-{precision}.json"
