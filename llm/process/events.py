"""What a trainer tells its launcher: one JSON object a line on standard output."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator

from llm.process.pace import Pace


def say(event: str, **values: object) -> None:
    """Print one event."""
    print(json.dumps({"event": event, **values}), file=sys.stdout, flush=True)


def log(message: str) -> None:
    """A line for the user."""
    say("log", message=message)


def error(problem: BaseException) -> None:
    """The error the process is about to end with."""
    say("error", type=type(problem).__name__, message=str(problem))


@contextlib.contextmanager
def launched() -> Iterator[None]:
    """The body of a launched process: events alone reach the launcher, an error as the last one.

    What libraries write to file descriptor 1 goes to the log, with file descriptor 2.
    """
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.redirect_stdout(stream):
        try:
            yield
        except Exception as problem:
            error(problem)
            raise


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
