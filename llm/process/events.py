"""What a trainer tells its launcher: one JSON object a line on standard output."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TextIO

from llm.process.pace import Pace
from llm.process.stdout import set_stdout_aside

# What was standard output, once it is kept for events.
_kept: TextIO | None = None


def keep_standard_output() -> None:
    """From now on events alone reach standard output."""
    global _kept
    _kept = os.fdopen(set_stdout_aside(), "w", encoding="utf-8")


def say(event: str, **values: object) -> None:
    """Print one event."""
    print(json.dumps({"event": event, **values}), file=_kept or sys.stdout, flush=True)


def log(message: str) -> None:
    """A line for the user."""
    say("log", message=message)


def error(problem: BaseException) -> None:
    """The error the process is about to end with."""
    say("error", type=type(problem).__name__, message=str(problem))


class Progress:
    """Progress events, at most one a second, with the time left.

    Args:
        already: units done before this process started; they do not count for the rate.
    """

    def __init__(self, total: int, unit: str, already: int) -> None:
        self._total, self._unit = total, unit
        self._pace = Pace(total, already)
        self._last = time.monotonic()

    def report(self, done: int, **figures: float) -> None:
        """Say where we are, unless that was said just now."""
        now, pace = time.monotonic(), self._pace.figures(done)
        if now - self._last < 1.0 and done < self._total:
            return
        self._last = now
        say(
            "progress",
            done=done,
            total=self._total,
            unit=self._unit,
            seconds_left=pace.get("seconds_left"),
            **{name: round(value, 4) for name, value in figures.items()},
        )
