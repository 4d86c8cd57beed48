"""Limits above which a run is to be approved: hours, money, a GPU."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tasks.durations import DurationError, seconds_of
from tasks.engine.errors import IngotError

_COST = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s+at\s+([0-9]+(?:\.[0-9]+)?)")
_GPU, _ALWAYS = "gpu", "always"
_FORMS = (
    "write a length of time (2h), money and the price of a device and hour (40 at 2.5), gpu, "
    "always, or several with commas between"
)


class LimitError(IngotError):
    """A limit above which a run is to be approved cannot be read; names the part of it."""


@dataclass(frozen=True)
class Limits:
    """Above which a run is to be approved.

    Attributes:
        seconds, cost: of the whole run; infinite = no such limit.
        price: of a device and hour, in the unit of `cost`.
        gpu, always: ask whenever a stage takes a GPU; whenever any stage would run.
    """

    seconds: float
    cost: float
    price: float
    gpu: bool
    always: bool


def limits_of(text: object) -> Limits | None:
    """The limits in a text such as `2h`, `gpu`, `40 at 2.5` (money, and the price of a device and
    hour), `always`, or several of them with commas between; `None` for an empty one.

    Raises:
        LimitError: it holds something else.
    """
    if not isinstance(text, str):
        raise LimitError(f"approve_above: {text!r} is no text; {_FORMS}")
    if not text.strip():
        return None
    seconds = cost = math.inf
    price, gpu, always = 0.0, False, False
    for part in (each.strip() for each in text.split(",")):
        money = _COST.fullmatch(part)
        if part == _GPU:
            gpu = True
        elif part == _ALWAYS:
            always = True
        elif money:
            cost, price = float(money[1]), float(money[2])
        else:
            try:
                seconds = seconds_of(part)
            except DurationError as error:
                raise LimitError(f"approve_above: {part!r} is no limit; {_FORMS}") from error
    return Limits(seconds, cost, price, gpu, always)
