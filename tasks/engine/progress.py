"""What a running stage tells the outside, and the plainest listener of it.

The engine reports through this protocol; a terminal bar, a Prefect artifact or
a silent test listen. Listeners throttle themselves.
"""

from __future__ import annotations

import time
from typing import Protocol

Figure = str | int | float
_STEADY_SECONDS = 0.5


class Listener(Protocol):
    """Somebody who watches a run."""

    def log(self, stage: str, message: str) -> None:
        """A line worth reading."""

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        """`done` of `total` units; figures such as a rate or a loss go beside the bar."""

    def cancelled(self) -> bool:
        """Whether the run should stop at the next safe point."""


class Silent:
    """Hears nothing and never cancels."""

    def log(self, stage: str, message: str) -> None:
        return

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        return

    def cancelled(self) -> bool:
        return False


class Pace:
    """Rate and time left of a steady piece of work, counted from its first unit on: what comes
    before, workers that start and models that compile, is no measure of the rest.

    Args:
        already: units that were done before the clock started (adopted shards, a resumed run).
    """

    def __init__(self, total: int, already: int = 0) -> None:
        self._total, self._already = total, already
        self._first: tuple[int, float] | None = None

    def figures(self, done: int) -> dict[str, Figure]:
        """Units a second and seconds left, empty until there is something to go by."""
        now = time.monotonic()
        if self._first is None:
            if done > self._already:
                self._first = (done, now)
            return {}
        units, started = self._first
        if done <= units or now - started < _STEADY_SECONDS:
            return {}
        rate = (done - units) / (now - started)
        return {"per_second": round(rate, 2), "seconds_left": round((self._total - done) / rate)}
