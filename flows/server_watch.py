"""A run and the server that shows it: the run goes on when the server goes away.

A server of this home whose process dies is started again where it was, and so is one that hangs:
lives, but neither answers nor does anything. One that was stopped on purpose (`ingot down`), that
is too busy to answer, or that is not ours, is done without until it answers.
Imports nothing of Prefect.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import psutil

from flows.processes import Record, family, find_process, folder, listens
from flows.server import Say, ServerError, address, healthy, restart_server, work
from tasks.best_effort import SERVER_AWAY

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 20.0
# A server that is not known to be dead is away when so many looks in a row found it silent.
_SILENT_LOOKS = 5
# One that has done nothing for so long, with calls waiting, is taken to hang.
_HUNG_SECONDS = 20.0


class ServerWatch:
    """Looks after the server at an API URL until it is closed.

    Args:
        say: told in one line that the server is away, and in one that it is back.
        meanwhile: what the run does until then, in words.
    """

    def __init__(self, url: str, say: Say, meanwhile: str) -> None:
        self.url, self.say, self.meanwhile = url, say, meanwhile
        record = find_process("server")
        ours = record is not None and address(record["port"]) == url
        self._port = int(record["port"]) if ours and record is not None else None
        self._silent = 0
        self._idle: tuple[object, float, float] | None = None
        self.starting_again = threading.Event()
        # Set where nothing is left to be done about a server that is away.
        self._lost = threading.Event()
        self._closed = threading.Event()
        threading.Thread(target=self._look, daemon=True, name="server-watch").start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _answers(self) -> bool:
        # Whoever takes the port of a server that is gone answers too, and is not ours.
        record = find_process("server") if self._port is not None else None
        ours = record is not None and listens(record, int(record["port"]))
        return (self._port is None or ours) and healthy(self.url)

    def wait_until_answering(self, wait: bool = True) -> bool:
        """Wait for a server that is away; whether it answers now.

        As long as it takes where it is being started, else for some seconds.

        Args:
            wait: False = somebody waits for the command to stop.
        """
        given_up = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            if not wait:
                return False
            silent = SERVER_AWAY.is_set() or self._silent >= _SILENT_LOOKS
            ours = self._port is not None and not self._lost.is_set()
            # One that does nothing is about to be ended and started again.
            starting = ours and (not silent or self._idle_seconds() > _SILENT_LOOKS * _LOOK_SECONDS)
            if not starting and (SERVER_AWAY.is_set() or time.monotonic() > given_up):
                return False
            time.sleep(0.5)
        return True

    @property
    def process(self) -> str:
        """The server in words, for an error."""
        record = find_process("server") if self._port is not None else None
        return self.url if record is None else f"{self.url} (process {record['pid']})"

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            if self._port is None or find_process("server") is not None:
                if not self._lost.is_set():
                    self._listen()
            elif not self._lost.is_set():
                self._silent, self._idle = 0, None
                SERVER_AWAY.clear()
                self._start_again(self._port)

    def _listen(self) -> None:
        if healthy(self.url):
            if SERVER_AWAY.is_set():
                self.say("the Prefect server is back")
            self._silent, self._idle = 0, None
            SERVER_AWAY.clear()
            return
        self._silent += 1
        record = find_process("server") if self._port is not None else None
        # Where its process was stopped (SIGSTOP), another look would tell no more.
        sure = self._silent >= _SILENT_LOOKS or (record is not None and _is_suspended(record))
        if sure and not SERVER_AWAY.is_set():
            SERVER_AWAY.set()
            self.say(f"the Prefect server at {self.url} is away; {self.meanwhile}")
        if record is not None and self._hangs(record):
            self.say(f"the Prefect server (process {record['pid']}) hangs and is ended")
            for member in family(record):
                with contextlib.suppress(psutil.Error):
                    member.kill()

    def _hangs(self, record: Record) -> bool:
        """Whether it has done nothing since it was first seen silent, for too long."""
        seen = (record["pid"], work(record))
        if self._idle is None or self._idle[:2] != seen:
            self._idle = (*seen, time.monotonic())
        return self._idle_seconds() > _HUNG_SECONDS

    def _idle_seconds(self) -> float:
        idle = self._idle
        return 0.0 if idle is None else time.monotonic() - idle[2]

    def _start_again(self, port: int) -> None:
        stopped = not (folder() / "server.json").exists()
        if stopped:
            why = "was stopped"
        else:
            self.starting_again.set()
            self.say("the Prefect server died; it is started again, the run goes on")
            try:
                if restart_server(port, self.say):
                    self.say("the Prefect server is back")
                    return
                why = f"is gone, and port {port} is taken by another process"
            except ServerError as error:
                why = f"did not start again ({str(error).splitlines()[0]})"
            finally:
                self.starting_again.clear()
        self._lost.set()
        SERVER_AWAY.set()
        self.say(f"the Prefect server {why}; the run goes on without it")
        _hold(port, self._closed)


def _hold(port: int, until: threading.Event) -> None:
    """Keep a port whose server is gone, and hang up on whoever calls.

    Prefect's clients in this process go on calling; another home's server that took the port
    would be told of runs that are not its own.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A server that is being stopped has its port for some seconds yet. While another process
        # has it, `SERVER_AWAY` keeps this run's own calls from that.
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


def _is_suspended(record: Record) -> bool:
    try:
        return psutil.Process(int(record["pid"])).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


_SERVER_WATCHES: list[ServerWatch] = []


def wait_while_started() -> None:
    """Return once no watched server is being started again: calls would fail meanwhile."""
    while any(watch.starting_again.is_set() for watch in _SERVER_WATCHES):
        time.sleep(_LOOK_SECONDS / 5)


@contextlib.contextmanager
def watching(
    say: Say, meanwhile: str = "the run goes on without it"
) -> Iterator[ServerWatch | None]:
    """Look after this process's server, if it uses one by its address.

    Within another such block it is the same watch, which has its say here.
    """
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        yield None
        return
    for watch in _SERVER_WATCHES:
        if watch.url == url:
            before = watch.say, watch.meanwhile
            watch.say, watch.meanwhile = say, meanwhile
            try:
                yield watch
            finally:
                watch.say, watch.meanwhile = before
            return
    SERVER_AWAY.clear()
    watch = ServerWatch(url, say, meanwhile)
    _SERVER_WATCHES.append(watch)
    try:
        yield watch
    finally:
        _SERVER_WATCHES.remove(watch)
        watch.close()
