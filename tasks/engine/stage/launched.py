"""A launched process: its lines as they come, and three ways to its end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import psutil

from llm.process.parent import ignore_terminal_signals

_LOOK_SECONDS = 0.5


class Launched:
    """A process that lives as long as this one at most, and does not hear the terminal.

    Its standard input is a pipe held here: when this process ends, however that happens, so does
    the other (llm/process/parent.py). It stays in this process's group, so that Ctrl-Z stops both.

    Args:
        log: where its standard error goes.
        environment: set on top of this process's own.
    """

    def __init__(
        self, command: Sequence[str], log: IO[bytes], environment: Mapping[str, str]
    ) -> None:
        with ignore_terminal_signals():
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "INGOT_PARENT_PIPE": "1", **environment},
            )
        self._started: list[psutil.Process] = []
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True, name="launched").start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def lines(self) -> Iterator[bytes | None]:
        """Its lines until it has ended; `None` now and then while it is silent."""
        while True:
            try:
                line = self._lines.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self._process.poll() is not None:
                    return  # a process of its own may hold the pipe open
                yield None
                continue
            if line is None:
                return
            yield line

    def request_stop(self) -> None:
        """Ask it to stop: it ends at the next safe point, with all it started."""
        if self._process.poll() is None:
            self._started = self._descendants()
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself; what it started ends with it, also where it
        was killed: that hears the end of the pipe."""
        code = self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._kill_descendants()
        return code

    def end(self) -> int:
        """Its exit code; at once, also that of what it started: the end of the pipe reaches all."""
        assert self._process.stdin is not None
        self._started += self._descendants()
        self._process.kill()
        self._process.stdin.close()
        code = self._process.wait()
        self._kill_descendants()
        return code

    def _descendants(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def _kill_descendants(self) -> None:
        """Of one that was told to end: a compiler it ran hears of no pipe."""
        for process in self._started:
            with contextlib.suppress(psutil.Error):
                process.kill()
