"""A child process that runs named functions and dies with its parent.

The parent keeps one `Child` per process it wants. A call sends the name of a
function and its arguments over a pipe as a pickle and waits for the pickled
result; a crash, an overrun deadline and an exception of the function's own are
three different errors. Nothing is inherited but the environment, the working
folder and `sys.path`: the child is a fresh interpreter, so threads and locks
of the parent cannot follow it.

llm/process/child_main.py is the other side: what runs in the child, and how it notices
that its parent is gone.

Ours, because `ProcessPoolExecutor` fails every task when one worker dies, cannot end a
call that hangs, and leaves its workers running when the parent is killed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from llm.errors import ExpectedError
from llm.process.child_main import HEADER
from llm.process.parent import ignore_terminal_signals

_CHUNK = 1 << 20
# How long a wait may go on before looking whether the process is still there.
_LOOK = 0.5
# How long an idle child may take to leave by itself once its input has ended.
_LEAVE = 2.0


class ChildCrashedError(ExpectedError, RuntimeError):
    """The process died during a call (or could not be started); the next call starts another.

    Attributes:
        returncode: its exit code, negative for the signal that killed it.
        cause: the same in words.
    """

    def __init__(self, function: str, returncode: int | None) -> None:
        self.function = function
        self.returncode = returncode
        self.cause = _cause(returncode)
        super().__init__(f"the child process died while running {function}: {self.cause}")


class ChildClosedError(ChildCrashedError):
    """`kill()` was called: this `Child` starts no process any more."""

    def __init__(self, function: str) -> None:
        super().__init__(function, None)
        self.args = (f"the child process was killed on request; {function} was not run",)


class ChildTimeoutError(ExpectedError, RuntimeError):
    """A call passed its deadline and the process was killed; the next call starts another."""

    def __init__(self, function: str, timeout: float) -> None:
        self.function = function
        self.timeout = timeout
        super().__init__(f"{function} did not end within {timeout:g} s; its process was killed")


class ChildStoppedError(ExpectedError, RuntimeError):
    """The parent was asked to stop during a call, and the process was killed."""

    def __init__(self, function: str) -> None:
        self.function = function
        super().__init__(f"stopped while running {function}")


class ChildFailedError(ExpectedError, RuntimeError):
    """The function raised. The process lives on.

    Attributes:
        type_name: unqualified name of the exception's class.
        message: `str()` of it.
        traceback_text: the traceback as the child printed it.
    """

    def __init__(self, function: str, type_name: str, message: str, traceback_text: str) -> None:
        self.function = function
        self.type_name = type_name
        self.message = message
        self.traceback_text = traceback_text
        super().__init__(f"{function}: {type_name}: {message}\n{traceback_text}")


def _cause(returncode: int | None) -> str:
    if returncode is None:
        return "no exit code"
    if returncode == -signal.SIGKILL:
        return "signal SIGKILL (what a system out of memory sends)"
    if returncode < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-returncode).name}"
        return f"signal {-returncode}"
    return f"exit code {returncode}"


class _DeadlineError(Exception):
    """The deadline of a transfer has passed."""


class _GoneError(Exception):
    """The process at the other end of the pipe is gone."""


class _StoppedError(Exception):
    """Nobody waits for the transfer any more."""


class _Process:
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
                raise _DeadlineError
            if poll.poll(left * 1000):
                return
            if self._stopped is not None and self._stopped():
                raise _StoppedError
            # A process that the child itself forked may hold the pipe open after its death.
            if self.popen.poll() is not None:
                raise _GoneError

    def send(self, payload: bytes, deadline: float | None) -> None:
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
                    raise _GoneError from error

    def receive(self, deadline: float | None) -> bytearray:
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
                raise _GoneError
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


class Child:
    """A process that runs functions by name, started by the first call.

    Calls may come from any thread, one at a time (a second waits for the first).
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        """
        Args:
            environment: all of the child's environment variables; None = those of this process
                when the child starts. `PYTHONPATH` is set to this process's `sys.path`.
            stopped: asked twice a second during a call; once it is true the call ends.
        """
        self._environment, self._stopped = environment, stopped
        self._process: _Process | None = None
        self._calls = threading.Lock()
        self._state = threading.Lock()
        self._killed = False

    @property
    def pid(self) -> int | None:
        """Process id, or None while no process runs."""
        process = self._process
        return None if process is None else process.popen.pid

    def rss_bytes(self) -> int:
        """Resident memory of the process in bytes; 0 when there is none."""
        import psutil

        process = self._process
        if process is None:
            return 0
        try:
            return int(psutil.Process(process.popen.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def call(self, function: str, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Run `function` ("module:qualified name") in the child and return its result.

        Args:
            args, kwargs: pickled; the function gets copies.
            timeout: seconds, the start of the process included where it has to be started.

        Raises:
            ChildCrashedError: the process died.
            ChildTimeoutError: it took longer than `timeout`.
            ChildStoppedError: `stopped()` became true.
            ChildFailedError: the function raised, does not exist, or its result has no pickle.
            ChildClosedError: `kill()` has been called.
        """
        request = pickle.dumps((function, args, kwargs), protocol=5)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._calls:
            process = self._start(function)
            try:
                process.send(request, deadline)
                reply = process.receive(deadline)
            except _DeadlineError:
                self._end(process, 0)
                assert timeout is not None
                raise ChildTimeoutError(function, timeout) from None
            except _StoppedError:
                self._end(process, 0)
                raise ChildStoppedError(function) from None
            except _GoneError:
                # Not killed at once: the exit code it is about to leave with is the evidence.
                returncode = self._end(process, _LEAVE)
                if self._killed:
                    raise ChildClosedError(function) from None
                raise ChildCrashedError(function, returncode) from None
            except BaseException:
                # An interrupt in mid-transfer leaves a pipe that is out of step.
                self._end(process, 0)
                raise
        succeeded, result = pickle.loads(reply)
        if not succeeded:
            raise ChildFailedError(function, *result)
        return result

    def _start(self, function: str) -> _Process:
        with self._state:
            if self._killed:
                raise ChildClosedError(function)
            if self._process is not None and self._process.popen.poll() is not None:
                # Died between two calls (the system ran out of memory, say): nothing was lost.
                self._process.end(0)
                self._process = None
            if self._process is None:
                self._process = _Process(self._environment, self._stopped)
            return self._process

    def _end(self, process: _Process, patience: float) -> int:
        with self._state:
            if self._process is process:
                self._process = None
            return process.end(patience)

    def close(self) -> None:
        """End the process after the call in progress, if any. The next call starts another."""
        with self._calls:
            process = self._process
            if process is not None:
                self._end(process, _LEAVE)

    def kill(self) -> None:
        """End the process at once and for good, also from another thread during a call."""
        self._killed = True
        with self._state:
            process = self._process
            if process is not None:
                process.popen.kill()
        # The call in progress notices and cleans up; only then may its pipes be closed.
        with self._calls:
            if self._process is not None:
                self._end(self._process, 0)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
