"""A trainer ends with whoever started it, and writes a checkpoint when asked to stop.

A launcher gives the process a pipe as standard input and sets `INGOT_LIFELINE=1`. When the
launcher is gone, however that happened, the pipe ends, and so does the process, at once. Started
by hand, with a terminal or nothing on standard input, it runs on.

A terminal sends Ctrl-C, and the news that it was closed (SIGHUP), to every process of its
foreground group. A launched process hears neither: its launcher does, and asks with SIGTERM, so
that it stops between two steps.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

TERMINATED = 143
OF_A_TERMINAL = (signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def deaf_to_the_terminal() -> Iterator[None]:
    """Processes started in this block, and theirs, never hear Ctrl-C nor that the terminal was
    closed, from their first moment on.

    The signals are blocked rather than ignored: a mask is inherited also by programs that install
    handlers of their own (torchrun does), and set for this thread alone. One that comes meanwhile
    reaches this process at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_A_TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_with_parent() -> None:
    """Watch standard input in a thread; leave the terminal to the launcher, if there is one."""
    if os.environ.get("INGOT_LIFELINE") == "1":
        for number in OF_A_TERMINAL:
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=_watch, daemon=True, name="lifeline").start()


def _watch() -> None:
    # Not sys.stdin: a daemon thread in its lock crashes the interpreter's own exit.
    while os.read(0, 4096):
        pass
    os._exit(1)


class StopRequest:
    """Set by SIGTERM; whoever works looks at `asked` at safe points."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
