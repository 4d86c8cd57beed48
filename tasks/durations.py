"""Lengths of time as people write them."""

from __future__ import annotations

import re

from tasks.engine.errors import IngotError

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class DurationError(IngotError):
    """A text is no length of time; says how to write one."""


def seconds_of(text: str) -> float:
    """90m, 8h, 1h30m or 2d in seconds.

    Raises:
        DurationError: it is no length of time above zero.
    """
    part = r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|m|h|d)\s*"
    whole = re.fullmatch(f"(?:{part})+", text.strip())
    seconds = sum(float(count) * _UNITS[unit] for count, unit in re.findall(part, text))
    if not whole or not seconds:
        raise DurationError(f"{text!r} is no length of time; write it as 90m, 8h, 1h30m or 2d")
    return seconds
