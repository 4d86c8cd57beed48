"""Standard output is for events alone: what libraries print goes to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from llm.process import events


class Channel:
    """The events of `llm.process.events` on the process's standard output.

    Made once, at the start: from then on whatever else writes to standard output, also below
    Python, is found on standard error.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._stream: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._progress: events.Progress | None = None

    def log(self, message: str) -> None:
        """A line for the user."""
        with contextlib.redirect_stdout(self._stream):
            events.log(message)

    def error(self, problem: BaseException) -> None:
        """The error the process ends with."""
        with contextlib.redirect_stdout(self._stream):
            events.error(problem)

    def begin(self, total: int, already: int, unit: str = "step") -> None:
        """Work of `total` units starts, `already` of them done."""
        self._progress = events.Progress(total, unit, already)

    def step(self, done: int, **figures: float) -> None:
        """So many steps are done."""
        if self._progress is not None:
            with contextlib.redirect_stdout(self._stream):
                self._progress.report(done, **figures)
