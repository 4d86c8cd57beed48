"""A program run to its end, and what it and all processes below it took."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_EVERY_SECONDS, _MEMORY_EVERY = 0.1, 5


class ProgramError(RuntimeError):
    """A program that was measured did not end well."""


@dataclass(frozen=True)
class Taken:
    """What a tree of processes took.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all processes; of one that ends, up to a tenth of a second is missed.
        peak_mb: of all of them at once, memory that several share counted once.
        output: what the program wrote to its standard output.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def run(command: Sequence[str], environment: Mapping[str, str], log: str) -> Taken:
    """Run a program.

    Args:
        log: path its standard error goes to.

    Raises:
        ProgramError: it did not end with 0.
    """
    started, peak, look = time.perf_counter(), 0.0, 0
    spent: dict[tuple[int, float], float] = {}
    with (
        open(log, "wb") as errors,  # noqa: PTH123
        open(f"{log}.out", "w+b") as output,  # noqa: PTH123
    ):
        child = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=errors)
        root = psutil.Process(child.pid)
        while child.poll() is None:
            memory = 0.0
            look += 1
            with suppress(psutil.NoSuchProcess):
                for process in (root, *root.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                        times = process.cpu_times()
                        spent[process.pid, process.create_time()] = times.user + times.system
                        if look % _MEMORY_EVERY == 0:
                            memory += process.memory_full_info().pss
            peak = max(peak, memory)
            time.sleep(_EVERY_SECONDS)
        seconds = time.perf_counter() - started
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    if child.returncode:
        raise ProgramError(f"{' '.join(command)} ended with {child.returncode}; see {log}")
    return Taken(seconds, sum(spent.values()), peak / 1e6, said)
