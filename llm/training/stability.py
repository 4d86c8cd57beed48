"""What follows from skipped steps: nothing much from one of them, from many a step back.

When 8 of the last 32 steps were skipped, or more than a quarter at the end of a run, training goes
back to the last checkpoint from before the first of them, or to its start, and on from there with
half the learning rate. The same batches come again. Where it fails at the same steps once more,
those are passed over on the next way: they count as done, and their data are not learned. After
three times it is given up, and where more than a quarter of all steps would be passed over.
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
        self._until = 0  # steps that were tried before the last rollback
        self._passed_over: list[tuple[int, int]] = []  # first and last ones

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
        return any(first <= step <= last for first, last in self._passed_over)

    def see(self, step: int, figures: StepFigures) -> None:
        """Take note of a step; they come in order."""
        self._recent.append((step, figures.skipped))
        if figures.skipped:
            self.skipped += 1
            found = (_finite(figures.loss), _finite(figures.gradient_norm))
            self.events.append(Event(step, "skipped", *found, _why(figures)))

    def in_trouble(self, done: int, steps: int) -> bool:
        """Whether to go back, after `done` of all steps."""
        skipped = sum(skipped for _, skipped in self._recent)
        if done < steps:
            return skipped >= TOO_MANY
        few = TOO_MANY / RECENT
        return skipped > few * len(self._recent) or self._count_passed_over() > few * steps

    def _count_passed_over(self) -> int:
        return sum(last - first + 1 for first, last in self._passed_over)

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
            what = f"{self._count_passed_over()} steps failed twice and were passed over"
        raise NonFiniteLossError(
            f"training diverged: {what}. Going back to a checkpoint {self.rollbacks} times, at "
            f"last with {self.rate_share:g} of the learning rate, did not help. Lower the learning "
            "rate, lengthen the warm-up, or keep QK norm and clipping on"
        )

    def roll_back(self, to: int) -> Event:
        """Take note that training goes on after step `to`; the event that says so."""
        at, begun = self._recent[-1][0], self.require_rollback()
        if begun <= self._until:
            self._passed_over.append((begun, at))
            over = Event(begun, "passed over", None, None, f"up to step {at}, which failed twice")
            self.events.append(over)
        self._until = at
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
            "until": self._until,
            "passed_over": self._passed_over,
        }

    @staticmethod
    def of(state: dict[str, Any]) -> Stability:
        """From what a checkpoint holds; of an empty one a fresh start."""
        made = Stability()
        if state:
            made.events = [Event(**event) for event in state["events"]]
            made.rollbacks, made.skipped = state["rollbacks"], state["skipped"]
            made._recent.extend((step, skipped) for step, skipped in state["recent"])
            made._until = state["until"]
            made._passed_over = [(first, last) for first, last in state["passed_over"]]
        return made


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
