"""A run and the server that shows it: the run goes on when the server goes away.

A server of this home whose process dies is started again where it was; one that was stopped on
purpose (`ingot down`), that lives and does not answer, or that is not ours, is waited for at the
end of a run, for a while.
Imports nothing of Prefect.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

from flows.processes import folder, known, listens
from flows.server import Say, ServerError, address, healthy, restart_server
from tasks.best_effort import AWAY

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 20.0
# A server that is not known to be dead is away when so many looks in a row found it silent.
_SILENT_LOOKS = 5


class Watch:
    """Looks after the server at an API URL until it is closed.

    Args:
        say: told in one line that the server is away, and in one that it is back.
    """

    def __init__(self, url: str, say: Say) -> None:
        self._url, self._say = url, say
        record = known("server")
        ours = record is not None and address(record["port"]) == url
        self._port = int(record["port"]) if ours and record is not None else None
        self._silent = 0
        # Set where nothing is left to be done about a server that is away.
        self._lost = threading.Event()
        self._closed = threading.Event()
        threading.Thread(target=self._look, daemon=True, name="server-watch").start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _answers(self) -> bool:
        # Whoever takes the port of a server that is gone answers too, and is not ours.
        record = known("server") if self._port is not None else None
        ours = record is not None and listens(record, int(record["port"]))
        return (self._port is None or ours) and healthy(self._url)

    def settle(self) -> bool:
        """Wait for a server that is away; whether it answers now.

        As long as it takes where it is being started, else for some seconds.
        """
        given_up = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            silent = self._silent >= _SILENT_LOOKS
            starting = self._port is not None and not self._lost.is_set() and not silent
            if not starting and (AWAY.is_set() or time.monotonic() > given_up):
                return False
            time.sleep(0.5)
        return True

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            if self._port is None or known("server") is not None:
                if not self._lost.is_set():
                    self._listen()
            elif not self._lost.is_set():
                self._silent = 0
                AWAY.clear()
                self._start_again(self._port)

    def _listen(self) -> None:
        if healthy(self._url):
            if self._silent >= _SILENT_LOOKS:
                self._say("the Prefect server is back")
            self._silent = 0
            AWAY.clear()
            return
        self._silent += 1
        if self._silent == _SILENT_LOOKS:
            AWAY.set()
            self._say(f"the Prefect server at {self._url} is away; the run goes on without it")

    def _start_again(self, port: int) -> None:
        stopped = not (folder() / "server.json").exists()
        if stopped:
            why = "was stopped"
        else:
            self._say("the Prefect server died; it is started again, the run goes on")
            try:
                if restart_server(port, self._say):
                    self._say("the Prefect server is back")
                    return
                why = f"is gone, and port {port} is taken by another process"
            except ServerError as error:
                why = f"did not start again ({str(error).splitlines()[0]})"
        self._lost.set()
        AWAY.set()
        self._say(f"the Prefect server {why}; the run goes on without it")
        _hold(port, self._closed)


def _hold(port: int, until: threading.Event) -> None:
    """Keep a port whose server is gone, and hang up on whoever calls.

    Prefect's clients in this process go on calling; another home's server that took the port
    would be told of runs that are not its own.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A server that is being stopped has its port for some seconds yet. While another process
        # has it, `AWAY` keeps this run's own calls from that.
        while not _bound(held, port):
            if until.wait(_LOOK_SECONDS):
                return
        held.listen()
        held.settimeout(_LOOK_SECONDS)
        while not until.is_set():
            with contextlib.suppress(TimeoutError):
                held.accept()[0].close()


def _bound(held: socket.socket, port: int) -> bool:
    try:
        held.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def watching(say: Say) -> Iterator[Watch | None]:
    """Look after this process's server, if it uses one by its address."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        yield None
        return
    AWAY.clear()
    watch = Watch(url, say)
    try:
        yield watch
    finally:
        watch.close()
