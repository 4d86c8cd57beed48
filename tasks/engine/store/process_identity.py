"""Whether a recorded process is still alive: on its machine, no clock decides.

A record names the process by its number, the moment it started, and the boot (and the namespace of
numbers) that these belong to. The moment is counted from the boot: a date would move whenever
somebody sets the clock, and a living process would seem to be another one.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

# Where a process started is known as a date only.
_SAME_DATE_SECONDS = 1.0


@functools.cache
def _boot() -> str:
    """Equal where process numbers mean the same processes: this boot, this namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time()}"


def _started(pid: int) -> int | float | None:
    """When a living process started: ticks since the boot, or a date; `None` = it has ended.

    Raises:
        ProcessLookupError: it is gone.
        PermissionError: it is there, and this user may not know more.
    """
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            os.kill(pid, 0)  # where processes of other users are hidden, this still tells
            raise PermissionError(f"process {pid} is hidden from this user") from None
        # The name, in parentheses, may hold anything, spaces and parentheses too.
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in ("Z", "X", "x") else int(fields[18])
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(pid) from error


def identify(pid: int | None = None) -> dict[str, Any]:
    """A record that tells a process from every other: of this one, or of another alive."""
    pid = os.getpid() if pid is None else pid
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": pid,
        "born": _started(pid),
    }


def is_alive(record: Mapping[str, Any]) -> bool | None:
    """Whether a recorded process is alive; `None` where this machine cannot know."""
    if record.get("boot") != _boot() or record.get("born") is None:
        return None
    try:
        born = _started(int(record["pid"]))
    except ProcessLookupError:
        return False
    except PermissionError:
        return None
    if born is None:
        return False
    apart = abs(born - float(record["born"]))
    return apart <= (0 if isinstance(born, int) else _SAME_DATE_SECONDS)
