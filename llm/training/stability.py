"""What follows from skipped steps: nothing much from one of them, from many a step back.

When 8 of the last 32 steps were skipped, or more than a quarter at the end of a run, training goes
back to the last checkpoint from before the first of them, or to its start, and on from there with
half the learning rate. The same batches come again. Steps that are skipped once more on the second
way are passed over on the next: they count as done, and their data are not learned. After three
times it is given up, and where more than a quarter of all steps would be passed over.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from llm.training.divergence import NonFiniteLossError
from llm.training.figures import StepFigures

RECENT, TOO_MANY, ROLLBACKS = 32, 8, 3
RATE_SHARE = 0.5


@dataclass(frozen=True)
class Event:
    """Something that does not happen in a healthy run.

    Attributes:
        step: counted from 1.
        event: "skipped", "rolled back" or "passed over".
        loss, gradient_norm: of a skipped step; `None` where it is not finite.
        detail: why, or what was done.
    """

    step: int
    event: str
    loss: float | None
    gradient_norm: float | None
    detail: str


class Stability:
    """Keeps count of a run's skipped steps.

    Attributes:
        events: all so far.
        rollbacks: how often it went back.
        skipped: steps that were, those of ways that were given up included.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.rollbacks = self.skipped = 0
        self._recent: deque[tuple[int, bool]] = deque(maxlen=RECENT)
        self._skipped: set[int] = set()  # steps, on the way that led here
        self._failed: set[int] = set()  # on ways that were given up
        self._passed_over: set[int] = set()

    @property
    def rate_share(self) -> float:
        """Of the learning rate asked for, what is used."""
        return RATE_SHARE**self.rollbacks

    @property
    def uncertain(self) -> bool:
        """Whether any of the last steps was skipped: no moment to keep for going back to."""
        return any(skipped for _, skipped in self._recent)

    def passes_over(self, step: int) -> bool:
        """Whether a step is not even tried."""
        return step in self._passed_over

    def see(self, step: int, figures: StepFigures) -> None:
        """Take note of a step; they come in order."""
        self._recent.append((step, figures.skipped))
        if figures.skipped:
            self.skipped += 1
            self._skipped.add(step)
            found = (_finite(figures.loss), _finite(figures.gradient_norm))
            self.events.append(Event(step, "skipped", *found, _why(figures)))

    def in_trouble(self, done: int, steps: int) -> bool:
        """Whether to go back, after `done` of all steps."""
        skipped = sum(skipped for _, skipped in self._recent)
        if done < steps:
            return skipped >= TOO_MANY
        few = TOO_MANY / RECENT
        return skipped > few * len(self._recent) or self.passed_over > few * steps

    @property
    def passed_over(self) -> int:
        """Steps that count as done and were not even tried."""
        return len(self._passed_over)

    @property
    def not_taken(self) -> int:
        """Steps that count as done and changed nothing."""
        return len(self._passed_over | self._skipped)

    def require_rollback(self) -> int:
        """The step the trouble began with.

        Raises:
            NonFiniteLossError: it went back as often as it may, or that would be of no use.
        """
        skipped = [step for step, skipped in self._recent if skipped]
        if skipped and self.rollbacks < ROLLBACKS:
            return skipped[0]
        if skipped:
            what = (
                f"of the last {len(self._recent)} steps up to step {self._recent[-1][0]}, "
                f"{len(skipped)} were skipped, the last one because {self.events[-1].detail}"
            )
        else:
            what = f"{self.passed_over} steps failed twice and were passed over"
        raise NonFiniteLossError(
            f"training diverged: {what}. Going back to a checkpoint {self.rollbacks} times, at "
            f"last with {self.rate_share:g} of the learning rate, did not help. Lower the learning "
            "rate, lengthen the warm-up, or keep QK norm and clipping on"
        )

    def roll_back(self, to: int) -> Event:
        """Take note that training goes on after step `to`; the event that says so."""
        at = self._recent[-1][0]
        self.require_rollback()
        twice = self._skipped & self._failed
        for first, last in _stretches(twice - self._passed_over):
            detail = f"up to step {last}, failed twice" if last > first else "failed twice"
            self.events.append(Event(first, "passed over", None, None, detail))
        self._passed_over |= twice
        self._failed |= self._skipped
        self._skipped = {step for step in self._skipped if step <= to}
        self.rollbacks += 1
        self._recent.clear()
        detail = f"to step {to}, with {self.rate_share:g} of the learning rate"
        event = Event(at, "rolled back", None, None, detail)
        self.events.append(event)
        return event

    def state(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        return {
            "events": [asdict(event) for event in self.events],
            "rollbacks": self.rollbacks,
            "skipped": self.skipped,
            "recent": list(self._recent),
            "on_this_way": sorted(self._skipped),
            "failed": sorted(self._failed),
            "passed_over": sorted(self._passed_over),
        }

    @staticmethod
    def of(state: dict[str, Any]) -> Stability:
        """From what a checkpoint holds; of an empty one a fresh start."""
        made = Stability()
        if state:
            made.events = [Event(**event) for event in state["events"]]
            made.rollbacks, made.skipped = state["rollbacks"], state["skipped"]
            made._recent.extend((step, skipped) for step, skipped in state["recent"])
            made._skipped, made._failed = set(state["on_this_way"]), set(state["failed"])
            made._passed_over = set(state["passed_over"])
        return made


def _stretches(steps: set[int]) -> list[tuple[int, int]]:
    """First and last of steps that follow each other."""
    found: list[tuple[int, int]] = []
    for step in sorted(steps):
        if found and found[-1][1] == step - 1:
            found[-1] = (found[-1][0], step)
        else:
            found.append((step, step))
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _why(figures: StepFigures) -> str:
    judged = (
        ("loss", figures.loss, figures.loss_limit),
        ("gradient norm", figures.gradient_norm, figures.norm_limit),
    )
    reasons = []
    for name, value, limit in judged:
        if not math.isfinite(value):
            reasons.append(f"{name} is {value}")
        elif value > limit:
            reasons.append(f"{name} {value:.4g} is above {limit:.4g}")
    return ", ".join(reasons)
