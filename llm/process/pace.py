"""Rate and time left of a steady piece of work."""

from __future__ import annotations

import time

_STEADY_SECONDS = 0.5


class Pace:
    """Counts from the first unit on: what comes before, workers that start and models that
    compile, is no measure of the rest.

    Args:
        already: units that were done before the clock started (adopted shards, a resumed run).
    """

    def __init__(self, total: int, already: int = 0) -> None:
        self._total, self._already = total, already
        self._first: tuple[int, float] | None = None

    def figures(self, done: int) -> dict[str, str | int | float]:
        """`per_second`: units; `seconds_left`. Empty until there is something to go by.

        Args:
            done: units, those of before included.
        """
        now = time.monotonic()
        if self._first is None:
            if done > self._already:
                self._first = (done, now)
            return {}
        units, began = self._first
        if done <= units or now - began < _STEADY_SECONDS:
            return {}
        rate = (done - units) / (now - began)
        return {"per_second": round(rate, 2), "seconds_left": round((self._total - done) / rate)}
