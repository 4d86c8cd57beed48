"""Background processes of this home: started, found again, stopped.

What runs is remembered in `<home>/prefect/*.json` by a note of the process that no recycled id and
no clock that was set can fool (tasks/engine/store/process_identity.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from flows.home import local_home
from tasks.engine.errors import IngotError
from tasks.engine.store import process_identity

_PORTS = 100
Record = dict[str, str | int | float]


class NoPortError(IngotError):
    """Every port that was tried is taken."""


def folder() -> Path:
    """Where records, logs and locks of background processes lie."""
    place = local_home().resolve() / "prefect"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Held by one command at a time: two that start at once must not start `name` twice."""
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def log_file(name: str) -> Path:
    """What the background process of that name prints."""
    return folder() / f"{name}.log"


def _alive(record: Path) -> Record | None:
    try:
        found: Record = json.loads(record.read_text())
        return found if process_identity.is_alive(found) else None
    except (OSError, ValueError):
        return None


def free_port(first: int) -> int:
    """The first port of the loopback interface, from `first` on, that nobody listens on.

    Raises:
        NoPortError: there is none among the next hundred.
    """
    for port in range(first, first + _PORTS):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As the server itself will: a port whose connections just closed is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise NoPortError(f"no free port from {first} to {first + _PORTS - 1}")


def start_process(
    name: str,
    command: list[str],
    environment: Mapping[str, str] | None = None,
    **facts: str | int,
) -> None:
    """Start a background process that outlives this one, remembered under `name`.

    It works in this home's own folder: where the command is given may lie settings of another
    project's Prefect.

    Args:
        environment: set on top of this process's own.
        facts: kept in its record, see `running`.
    """
    with log_file(name).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder(),
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    record = {**process_identity.identify(process.pid), **facts}
    written = folder() / f"{name}.json.{os.getpid()}"
    written.write_text(json.dumps(record))
    written.replace(folder() / f"{name}.json")


def find_process(name: str) -> Record | None:
    """The record of a background process that is alive, its facts included."""
    return _alive(folder() / f"{name}.json")


def running(name: str, **facts: str | int) -> bool:
    """Whether the background process of that name is alive, and was started with these facts."""
    record = find_process(name)
    return record is not None and all(record.get(key) == value for key, value in facts.items())


def family(record: Record) -> list[psutil.Process]:
    """A recorded process and those it started; empty when it is gone."""
    try:
        process = psutil.Process(int(record["pid"]))
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def listens(record: Record, port: int) -> bool:
    """Whether it is this very process, or one it started, that is served on a port.

    An answer on a port proves nothing: whoever took it first answers too.
    """
    for member in family(record):
        with contextlib.suppress(psutil.Error):
            for connection in member.net_connections("tcp"):
                here = connection.laddr
                if connection.status == psutil.CONN_LISTEN and here and here.port == port:
                    return True
    return False


def stop_process(name: str) -> bool:
    """End a background process and its children; False if it was not running."""
    record = folder() / f"{name}.json"
    alive = _alive(record)
    record.unlink(missing_ok=True)
    if alive is None:
        return False
    members = family(alive)
    for sent in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        for member in members:
            with contextlib.suppress(psutil.Error):
                member.send_signal(sent)
        if not psutil.wait_procs(members, timeout=8)[1]:
            break
    return True


def stop_all() -> list[str]:
    """Stop workers, then the server; the names of what was running."""
    names = sorted(path.stem for path in folder().glob("*.json"))
    names.sort(key=lambda name: name == "server")
    return [name for name in names if stop_process(name)]
