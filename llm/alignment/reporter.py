"""What a trainer is given to say how far it is."""

from __future__ import annotations

from llm.process import events


class Reporter:
    """The events of `llm.process.events`, and the progress of one piece of work at a time."""

    def __init__(self) -> None:
        self._progress: events.Progress | None = None

    def log(self, message: str) -> None:
        """A line for the user."""
        events.log(message)

    def begin(self, total: int, already: int, unit: str = "step") -> None:
        """Work of `total` units starts, `already` of them done."""
        self._progress = events.Progress(total, unit, already)

    def step(self, done: int, **figures: float) -> None:
        """So many steps are done."""
        if self._progress is not None:
            self._progress.report(done, **figures)
