"""A program in a terminal of its own, where Ctrl-C is a key that reaches all of its processes."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
from collections.abc import Iterator, Mapping, Sequence


class Terminal:
    """A program started at a pseudo-terminal, as the leader of its foreground group.

    Attributes:
        pid: of the program.
        said: all lines it has written so far, by either stream.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.said: list[str] = []
        self.pid, self._keyboard = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], list(command), {**os.environ, **environment})

    def lines(self) -> Iterator[str]:
        """What it writes, until its last process has closed the terminal."""
        rest = b""
        while True:
            try:
                piece = os.read(self._keyboard, 1 << 16)
            except OSError:  # how Linux tells that nobody is left, or that it was closed here
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self.said.append(line.decode(errors="replace").rstrip("\r"))
                yield self.said[-1]

    def press_ctrl_c(self) -> None:
        os.write(self._keyboard, b"\x03")

    def type_line(self, line: str) -> None:
        os.write(self._keyboard, line.encode() + b"\r")

    def close(self) -> None:
        """As its window: the kernel tells the leader, and a shell there would tell its jobs."""
        os.close(self._keyboard)
        self._keyboard = -1
        os.killpg(self.pid, signal.SIGHUP)

    def exit_code(self) -> int:
        """Once it has ended; negative for the signal that ended it."""
        for _ in self.lines():
            pass
        _, status = os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            os.close(self._keyboard)
        return os.waitstatus_to_exitcode(status)
