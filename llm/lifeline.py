"""A trainer ends with whoever started it, and writes a checkpoint when asked to stop.

A launcher gives the process a pipe as standard input and sets `INGOT_LIFELINE=1`. When the
launcher is gone, however that happened, the pipe ends, and so does the process, at once. Started
by hand, with a terminal or nothing on standard input, it runs on.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

TERMINATED = 143


def exit_with_parent() -> None:
    """Watch standard input in a thread, if a launcher asked for it."""
    if os.environ.get("INGOT_LIFELINE") == "1":
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
