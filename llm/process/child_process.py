"""One started child process: its pipes, and blocks of bytes sent and received over them."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from llm.process.child_main import HEADER
from llm.process.parent import ignore_terminal_signals

_CHUNK = 1 << 20
# How long a wait may go on before looking whether the process is still there.
_LOOK = 0.5


class DeadlinePassed(Exception):  # noqa: N818 - `Child` says what it means for a call
    """The deadline of a transfer has passed."""


class ProcessGone(Exception):  # noqa: N818 - `Child` says what it means for a call
    """The process at the other end of the pipe is gone."""


class TransferStopped(Exception):  # noqa: N818 - `Child` says what it means for a call
    """Nobody waits for the transfer any more."""


class ChildProcess:
    """A running child and the parent's ends of its pipes."""

    def __init__(
        self, environment: Mapping[str, str] | None, stopped: Callable[[], bool] | None
    ) -> None:
        self._stopped = stopped
        environment = dict(os.environ if environment is None else environment)
        # "" stands for the working folder; as a relative entry it would break after a chdir.
        environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
        read_end, self.parent_pipe = os.pipe()
        try:
            with ignore_terminal_signals():  # the parent hears it too, and decides
                self.popen = subprocess.Popen(
                    # -P: the working folder is on the path only if it is on the parent's.
                    [sys.executable, "-P", "-m", "llm.process.child_main", str(read_end)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    pass_fds=(read_end,),
                    env=environment,
                )
        except BaseException:
            os.close(self.parent_pipe)
            raise
        finally:
            os.close(read_end)
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self._input, self._output = self.popen.stdin, self.popen.stdout
        os.set_blocking(self._input.fileno(), False)
        os.set_blocking(self._output.fileno(), False)

    def _wait(self, descriptor: int, event: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        while True:
            left = _LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())
            if left <= 0:
                raise DeadlinePassed
            if poll.poll(left * 1000):
                return
            if self._stopped is not None and self._stopped():
                raise TransferStopped
            # A process that the child itself forked may hold the pipe open after its death.
            if self.popen.poll() is not None:
                raise ProcessGone

    def send(self, payload: bytes, deadline: float | None) -> None:
        """Send a block.

        Args:
            deadline: by the monotonic clock; `None` = whatever it takes.

        Raises:
            DeadlinePassed, ProcessGone, TransferStopped
        """
        descriptor = self._input.fileno()
        for block in (HEADER.pack(len(payload)), payload):
            rest = memoryview(block)
            while rest:
                self._wait(descriptor, select.POLLOUT, deadline)
                try:
                    rest = rest[os.write(descriptor, rest[:_CHUNK]) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError as error:
                    raise ProcessGone from error

    def receive(self, deadline: float | None) -> bytearray:
        """The next block; arguments and errors are those of `send`."""
        (length,) = HEADER.unpack(self._read(HEADER.size, deadline))
        return self._read(length, deadline)

    def _read(self, length: int, deadline: float | None) -> bytearray:
        descriptor = self._output.fileno()
        block = bytearray()
        while len(block) < length:
            self._wait(descriptor, select.POLLIN, deadline)
            try:
                piece = os.read(descriptor, min(_CHUNK, length - len(block)))
            except BlockingIOError:
                continue
            if not piece:
                raise ProcessGone
            block += piece
        return block

    def end(self, patience: float) -> int:
        """Close the pipes, wait, kill what does not leave; returns the exit code."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            if patience > 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.popen.wait(patience)
            self.popen.kill()
            return self.popen.wait()
        finally:
            self._output.close()
            os.close(self.parent_pipe)
