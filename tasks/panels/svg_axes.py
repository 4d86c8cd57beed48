"""Scales of a chart: where a value lies on an axis, and where its ticks are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.panels.numbers import number

_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A line or log axis from `low` to `high` (in values), drawn from `start` to `end` (in px)."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        """Pixels; values beyond the axis land beyond its ends."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int) -> list[tuple[float, str]]:
        """(pixels, label), at round values: some `wanted` of them."""
        values = log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high, wanted)
        while len(values) > 2 * wanted:
            values = values[::2]
        return [(self.place(value), tick_label(value)) for value in values]


def drawable(values: Iterable[float], log: bool) -> list[float]:
    """Those an axis can show: finite, and above zero where it is logarithmic."""
    return [value for value in values if math.isfinite(value) and (value > 0 or not log)]


def fit_scale(values: Iterable[float], start: float, end: float, log: bool, wanted: int) -> Scale:
    """The scale that shows all values; a linear one reaches out to round numbers."""
    known = drawable(values, log) or [1.0]
    low, high = min(known), max(known)
    if log:
        return (
            Scale(low, high, start, end, True)
            if high > low
            else Scale(low / 2, high * 2, start, end, True)
        )
    if high == low:
        reach = abs(high) / 2 or 1.0
        low, high = low - reach, high + reach
    step = tick_step(low, high, wanted)
    return Scale(math.floor(low / step) * step, math.ceil(high / step) * step, start, end, False)


def exact(low: float, high: float, start: float, end: float) -> Scale:
    """A linear scale with just these ends."""
    return Scale(low, high if high > low else low + 1.0, start, end, False)


def tick_step(low: float, high: float, wanted: int) -> float:
    """1, 2 or 5 times a power of ten: the smallest that makes no more than `wanted` steps."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in _STEPS if step * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values within [low, high]."""
    step = tick_step(low, high, wanted)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # The product is rounded so that 3 × 0.1 is labelled 0.3.
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within [low, high]; with 2 and 5 between them over fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wide = high / low >= 1000
    values = [step * 10.0**power for power in powers for step in ((1,) if wide else (1, 2, 5))]
    chosen = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return chosen or [low, high]


def tick_label(value: float) -> str:
    """Short: 12,000 is "12k", 3.5e6 is "3.5M"."""
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            unit = 1e3 if suffix == "k" else limit
            return f"{value / unit:.3g}{suffix}"
    return number(value)
