"""What a running stage tells the outside, and the plainest listener of it.

The engine reports through this protocol; a terminal bar, a Prefect artifact or
a silent test listen. Listeners throttle themselves.
"""

from __future__ import annotations

from typing import Protocol

Figure = str | int | float


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


class NullListener:
    """Hears nothing and never cancels."""

    def log(self, stage: str, message: str) -> None:
        return

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        return

    def cancelled(self) -> bool:
        return False
