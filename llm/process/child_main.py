"""The child's side of llm/process/child.py: answer requests until the parent is gone.

The child ends within a second of its parent, even one killed with SIGKILL and
even while the child sits in a C call that holds the interpreter lock:

* The parent holds the write end of a pipe nobody writes to. The child asks for
  SIGIO on the read end (`O_ASYNC`), whose default action ends the process. The
  kernel sends it when the last writer is gone; no Python code has to run.
* Where the system does not signal that, the thread that reads the requests sees
  the end of file and exits.

`PR_SET_PDEATHSIG` is no substitute: it fires when the *thread* that started
the child ends. This module imports nothing heavy, so that a child starts in
some 50 ms.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import pickle
import queue
import select
import signal
import struct
import sys
import threading
from typing import Any, NoReturn

from llm.errors import traced
from llm.process.parent import TERMINAL_SIGNALS
from llm.process.stdout import set_stdout_aside

HEADER = struct.Struct("!Q")  # length of the pickle that follows


def _exit_with_parent(parent_pipe: int) -> None:
    """Ask the kernel to end this process when the last writer of `parent_pipe` is gone."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
    os.set_inheritable(parent_pipe, False)
    fcntl.fcntl(parent_pipe, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(parent_pipe, fcntl.F_GETFL)
    fcntl.fcntl(parent_pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
    # The parent may have died before the line above.
    if select.select([parent_pipe], [], [], 0)[0]:
        os._exit(1)


def _read_requests(descriptor: int, requests: queue.SimpleQueue[bytes]) -> None:
    with open(descriptor, "rb") as stream:
        while True:
            header = stream.read(HEADER.size)
            payload = b""
            if len(header) == HEADER.size:
                (length,) = HEADER.unpack(header)
                payload = stream.read(length)
            if not payload or len(payload) < length:
                # At once: what the main thread is doing is of use to nobody.
                os._exit(0)
            requests.put(payload)


def _write(descriptor: int, payload: bytes) -> None:
    for block in (HEADER.pack(len(payload)), payload):
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def resolve(function: str) -> Any:
    """The object a "module:qualified name" stands for.

    Raises:
        ImportError, AttributeError: there is none.
    """
    module, _, name = function.partition(":")
    target: Any = importlib.import_module(module)
    for piece in name.split("."):
        target = getattr(target, piece)
    return target


def _answer(request: bytes) -> bytes:
    function = "the request"
    try:
        function, args, kwargs = pickle.loads(request)
        return pickle.dumps((True, resolve(function)(*args, **kwargs)), protocol=5)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is told
        failure = (type(error).__name__, str(error), traced(error))
        return pickle.dumps((False, failure), protocol=5)


def serve(parent_pipe: int) -> NoReturn:
    _exit_with_parent(parent_pipe)
    # The parent hears of Ctrl-C and of a closed terminal too, and decides what they mean.
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Prints of the functions, C code included, must not end up between the frames.
    source, sink = os.dup(0), set_stdout_aside()
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(
        target=_read_requests, args=(source, requests), daemon=True, name="requests"
    ).start()
    while True:
        reply = _answer(requests.get())
        try:
            _write(sink, reply)
        except BrokenPipeError:
            os._exit(0)  # the parent left between its question and our answer


if __name__ == "__main__":
    serve(int(sys.argv[1]))
