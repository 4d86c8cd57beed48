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
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from llm.errors import ExpectedError
from llm.process.child_process import ChildProcess, DeadlinePassed, ProcessGone, TransferStopped

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
        traceback_text: the traceback as the child printed it; "" where the message says it all.
    """

    def __init__(self, function: str, type_name: str, message: str, traceback_text: str) -> None:
        self.function = function
        self.type_name = type_name
        self.message = message
        self.traceback_text = traceback_text
        super().__init__(f"{function}: {type_name}: {message}\n{traceback_text}".rstrip())


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
        self._process: ChildProcess | None = None
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
        process = self._process
        if process is None:
            return 0
        import psutil  # not before: children import this file, and ask for no such thing

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
            except DeadlinePassed:
                self._end(process, 0)
                assert timeout is not None
                raise ChildTimeoutError(function, timeout) from None
            except TransferStopped:
                self._end(process, 0)
                raise ChildStoppedError(function) from None
            except ProcessGone:
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

    def _start(self, function: str) -> ChildProcess:
        with self._state:
            if self._killed:
                raise ChildClosedError(function)
            if self._process is not None and self._process.popen.poll() is not None:
                # Died between two calls (the system ran out of memory, say): nothing was lost.
                self._process.end(0)
                self._process = None
            if self._process is None:
                self._process = ChildProcess(self._environment, self._stopped)
            return self._process

    def _end(self, process: ChildProcess, patience: float) -> int:
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
