"""Ctrl-C, `kill` and a terminal that is closed all stop a command by unwinding it.

Python raises for Ctrl-C alone; the other two end a process on the spot, before its trainer was
asked for a checkpoint. Within a flow Prefect raises for SIGTERM too, and sends it again behind.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from types import FrameType


class Stopped(KeyboardInterrupt):
    """Asked to stop by a signal other than Ctrl-C."""


class Stopping:
    """Turns the signals that ask a command to stop into exceptions, from now on.

    Attributes:
        asked_by: the signal the command was last asked to stop by; Ctrl-C until it was.
    """

    def __init__(self) -> None:
        self.asked_by = signal.SIGINT
        signal.signal(signal.SIGTERM, self._terminate)
        # `nohup` and `disown` start a command that is to outlive its terminal.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._hang_up)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.asked_by = signal.Signals(number)
        raise Stopped

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        # A shell passes it on to its jobs and the kernel sends it again when the shell is gone:
        # unlike Ctrl-C, the second one does not mean "at once".
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _let_go_of_the_terminal()
        if not _unwinding():
            self.asked_by = signal.Signals(number)
            raise Stopped


def _unwinding() -> bool:
    """Whether the command is on its way out already."""
    error = sys.exc_info()[1]
    while error is not None:
        if not isinstance(error, Exception):
            return True
        error = error.__context__
    return False


def _let_go_of_the_terminal() -> None:
    """Write to nowhere what would go to a terminal that is gone, where writing is an error."""
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
