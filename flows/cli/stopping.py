"""Ctrl-C, `kill` and a terminal that is closed all stop a command by unwinding it.

Python raises for Ctrl-C alone; the other two end a process on the spot, before its trainer was
asked for a checkpoint. Within a flow Prefect raises for SIGTERM too, and sends it again behind.

Unwinding waits for others: a trainer, a server. A second Ctrl-C cuts that short, and what is then
not over within seconds is ended as `kill -9` would; the next run resumes from that too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

import psutil

_AT_ONCE_SECONDS = 4.0
_STOPPING = b"stopping; what is finished is kept (Ctrl-C again ends it at once)\n"
_ENDED = b"ended at once; run again to continue\n"


class Stopped(KeyboardInterrupt):
    """Asked to stop by a signal other than Ctrl-C."""


class Stopping:
    """Turns the signals that ask a command to stop into exceptions, from now on.

    Attributes:
        asked: whether the command was asked to stop.
        asked_by: the signal it was last asked by; Ctrl-C until it was.
    """

    def __init__(self) -> None:
        self.asked = False
        self.asked_by = signal.SIGINT
        self._pressed = 0
        # A shell's background jobs are deaf to the Ctrl-C of others, and stay so.
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._terminate)
        # `nohup` and `disown` start a command that is to outlive its terminal.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._hang_up)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._pressed += 1
        if self._pressed == 1:
            _say(_STOPPING)
        elif self._pressed == 2:
            threading.Thread(target=_end_soon, daemon=True, name="at-once").start()
        raise KeyboardInterrupt

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.asked, self.asked_by = True, signal.Signals(number)
        raise Stopped

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        # A shell passes it on to its jobs and the kernel sends it again when the shell is gone:
        # unlike Ctrl-C, the second one does not mean "at once".
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _let_go_of_the_terminal()
        if not _unwinding():
            self.asked, self.asked_by = True, signal.Signals(number)
            raise Stopped


def _end_soon() -> NoReturn:
    """End the process and what it started, unless it has ended by itself before."""
    time.sleep(_AT_ONCE_SECONDS)
    own = psutil.Process()
    for process in own.children(recursive=True):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == os.getsid(0):  # a server has a session of its own
                process.kill()
    _say(_ENDED)
    os._exit(128 + signal.SIGINT)


def _say(line: bytes) -> None:
    """To standard error, from within a handler, where no stream may be in use."""
    with contextlib.suppress(OSError):
        os.write(2, (b"\n" if os.isatty(2) else b"") + line)


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
