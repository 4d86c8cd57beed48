"""Learning rate over time, as a share of its peak."""

from __future__ import annotations

import math
from typing import get_args

from llm.errors import ExpectedError
from llm.training.run_file import Optimisation, Schedule

SCHEDULES: tuple[str, ...] = get_args(Schedule)


class UnknownScheduleError(ExpectedError, ValueError):
    """A schedule of that name is not there."""


def share(step: int, o: Optimisation) -> float:
    """Share of the peak learning rate at a step, counted from 0.

    Linear warm-up to 1, then either a cosine to `final_share` (Loshchilov and Hutter 2017), or 1
    until the last `decay_share` of the steps, which fall in a line (Hu et al. 2024).

    Raises:
        UnknownScheduleError: `o.schedule` is none of `SCHEDULES`.
    """
    if step < o.warmup_steps:
        return (step + 1) / o.warmup_steps
    if o.schedule == "cosine":
        done = (step - o.warmup_steps) / max(1, o.steps - o.warmup_steps)
        return o.final_share + (1 - o.final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if o.schedule == "wsd":
        left = min(1.0, (o.steps - step) / _decay_steps(o))
        return o.final_share + (1 - o.final_share) * left
    raise UnknownScheduleError(f"schedule {o.schedule!r} is none of {', '.join(SCHEDULES)}")


def _decay_steps(o: Optimisation) -> int:
    # What warm-up leaves bounds it: otherwise the rate would jump where they meet.
    return max(1, min(round(o.steps * o.decay_share), o.steps - o.warmup_steps))


def stable_steps(o: Optimisation) -> int:
    """Steps after which the learning rate is at its peak for the last time; 0 = never is."""
    return max(0, o.steps - _decay_steps(o)) if o.schedule == "wsd" else 0
