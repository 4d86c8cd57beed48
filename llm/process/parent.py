"""A trainer ends with whoever started it, and writes a checkpoint when asked to stop.

A launcher gives the process a pipe as standard input and sets `INGOT_PARENT_PIPE=1`. When the
launcher is gone, however that happened, the pipe ends, and so does the process, at once. Started
by hand, with a terminal or nothing on standard input, it runs on.

A terminal sends Ctrl-C, and the news that it was closed (SIGHUP), to every process of its
foreground group. A launched process hears neither: its launcher does, and asks with SIGTERM:
`StopRequest` says what that does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from llm.errors import ExpectedError

TERMINATED = 143
TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def ignore_terminal_signals() -> Iterator[None]:
    """Processes started in this block, and theirs, never hear Ctrl-C nor that the terminal was
    closed, from their first moment on.

    The signals are blocked rather than ignored: a mask is inherited also by programs that install
    handlers of their own (torchrun does), and set for this thread alone. One that comes meanwhile
    reaches this process at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """What a signal that asks to stop does to this process, it does at the end of the block.

    A mask alone does not do that: the signal reaches another thread, and Python calls the handler
    in the main one. A process that is being started would be lost to whoever is to end it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    handlers = {}
    with contextlib.ExitStack() as restored:
        for asks in (*TERMINAL_SIGNALS, signal.SIGTERM):
            handler = signal.getsignal(asks)
            if callable(handler):
                handlers[int(asks)] = handler
                restored.callback(signal.signal, asks, handler)
                signal.signal(asks, note)
        yield
    for number in came:
        handlers[number](number, None)


def exit_with_parent() -> None:
    """Watch standard input in a thread; leave the terminal to the launcher, if there is one."""
    if os.environ.get("INGOT_PARENT_PIPE") == "1":
        for number in TERMINAL_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=_watch, daemon=True, name="parent_pipe").start()


def _watch() -> None:
    # Not sys.stdin: a daemon thread in its lock crashes the interpreter's own exit.
    while os.read(0, 4096):
        pass
    os._exit(1)


class Interrupted(BaseException):
    """SIGTERM came during work that may be dropped. Not an `Exception`: no library takes it for a
    fault of its own."""


class StoppedError(ExpectedError):
    """The run was asked to stop and did; says whether it left a checkpoint to go on from."""


class StopRequest:
    """What SIGTERM does to a trainer.

    While nothing has been done that a checkpoint would keep (before the first step, however long
    compiling it takes, and after a checkpoint) it ends the process on the spot. From `hold` on it
    is noted, and work that may be dropped half done (`may_drop`) is dropped.

    Attributes:
        requested: SIGTERM came. Whoever works looks at it at safe points.
    """

    def __init__(self) -> None:
        self.requested = False
        self._held = self._dropping = False
        signal.signal(signal.SIGTERM, self._note)

    def hold(self) -> None:
        """Something is done that is in no checkpoint yet."""
        self._held = True

    def release(self) -> None:
        """Everything that was done is in a checkpoint."""
        self._held = False

    @contextlib.contextmanager
    def may_drop(self) -> Iterator[None]:
        """The body changes nothing that is kept: it is left as soon as SIGTERM comes.

        Raises:
            Interrupted: it came, now or before.
        """
        self._dropping = True
        try:
            self.check()
            yield
        finally:
            self._dropping = False

    def check(self) -> None:
        """Within `may_drop`: what a signal raises while an object is being finalised is lost.

        Raises:
            Interrupted: SIGTERM came.
        """
        if self._dropping and self.requested:
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if not self._held:
            os._exit(TERMINATED)
        if not again:
            self.check()
