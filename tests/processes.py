"""Whether processes have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def has_ended(pid: int) -> bool:
    """Whether a process has ended; its entry may still wait for whoever inherited it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def alive_after(pids: Iterable[int], seconds: float) -> list[int]:
    """Those that are alive when the time is over; returns at once when none is."""
    left, deadline = list(pids), time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [pid for pid in left if not has_ended(pid)]
    return left
