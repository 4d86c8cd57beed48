"""`ingot serve` as a process of its own, on a tiny random model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from llm.process.safe_path import CHECKOUT
from tests.flows.command import COMMAND

_START_SECONDS = 120.0


@dataclass
class Serving:
    """
    Attributes:
        log: what it has printed.
    """

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def metric(self, name: str, **labels: str) -> float:
        """One of its counters; 0 where nothing was counted."""
        text = httpx.get(f"{self.address}/metrics").text
        for line in text.splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                told = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                if labels.items() <= told.items():
                    return float(found[3])
        return 0.0

    def idle(self, seconds: float) -> bool:
        """Whether nothing runs or waits any more before the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            loads = httpx.get(f"{self.address}/health").json()["models"].values()
            if not any(load["running"] or load["waiting"] for load in loads):
                return True
            time.sleep(0.02)
        return False


@contextmanager
def serving(
    work: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[Serving]:
    """A server on a free port; it is to end well when the block does.

    Args:
        work: a folder for its home and log.
        options: of `ingot serve`, besides the port.
    """
    work.mkdir(parents=True, exist_ok=True)
    log = work / "serve.log"
    places = {"INGOT_HOME": str(work / "home"), "INGOT_ROOT": str(work)}
    everything = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", **places}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *options],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**everything, **(environment or {})},
        )
    try:
        yield Serving(process, _address(process, log), log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = re.search(r"at (http://\S+) ", log.read_text())
        if found:
            return found[1]
        time.sleep(0.02)
    raise AssertionError(log.read_text())
