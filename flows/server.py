"""The Prefect server of this home: found, started, waited for; never another home's.

Homes on one machine take the first free port each. Two that start at the same moment may both
find the same port free, and the one that loses it would be answered by the other's server. So a
server counts as ours only once the process we started is seen to own the listening socket.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from flows.processes import (
    Record,
    family,
    find_process,
    free_port,
    listens,
    locked,
    log_file,
    start_process,
    stop_process,
)
from tasks.engine.errors import IngotError

_NAME = "server"
_FIRST_PORT = 4200
_LOOK_SECONDS = 0.2
_SAY_SECONDS = 15.0
# A server that neither computes nor prints for this long does not start any more.
_STUCK_SECONDS = 120.0
_LOG_LINES = 10

Say = Callable[[str], None]


class ServerError(IngotError):
    """The Prefect server did not come up."""


class OutOfReachError(ServerError):
    """This home's server lives where nothing reaches it from here."""


class _PortTakenError(Exception):
    """Another process was served on the port before ours could be."""


def print_error(message: str) -> None:
    """A line on standard error."""
    print(message, file=sys.stderr, flush=True)


def healthy(url: str) -> bool:
    """Whether a Prefect server answers at an API URL."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def address(port: int | str | float) -> str:
    """The API URL of a server on this machine."""
    return f"http://127.0.0.1:{port}/api"


def find_server() -> str | None:
    """API URL of the server to use: the one the user set, else ours if it is up."""
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        return configured
    record = find_process(_NAME)
    if record is None or not listens(record, int(record["port"])):
        return None
    url = address(record["port"])
    return url if healthy(url) else None


def ensure_server(say: Say = print_error) -> tuple[str, bool]:
    """The API URL of a server that answers, started if need be; and whether it was.

    A real server also for one run: the in-process one loses task-run records.

    Raises:
        ServerError: it ended, hangs (the end of its log is told) or cannot be reached.
    """
    with locked(_NAME):
        found = find_server()
        url = found or _waited_for(say) or _start_server(say)
    os.environ["PREFECT_API_URL"] = url
    return url, found is None


def restart_server(port: int, say: Say = print_error) -> bool:
    """Start this home's server again where it was; False where another process has its port.

    Raises:
        ServerError: as for `ensure_server`.
    """
    with locked(_NAME):
        record = find_process(_NAME)
        if record is None:
            if free_port(port) != port:
                return False
            _launch(port)
        elif record["port"] != port:
            return False  # another run of this home started it elsewhere
        try:
            _wait(port, say)
        except _PortTakenError:
            return False
    return True


def _waited_for(say: Say) -> str | None:
    """A server of ours that lives but does not answer yet; a busy machine makes it slow.

    One that hangs is stopped: alive without answering is of no use.

    Raises:
        OutOfReachError: it serves others, in another network namespace.
    """
    record = find_process(_NAME)
    if record is None:
        return None
    try:
        _wait(int(record["port"]), say)
    except OutOfReachError:
        raise
    except (_PortTakenError, ServerError):
        stop_process(_NAME)
        return None
    return address(record["port"])


def _start_server(say: Say) -> str:
    port = _FIRST_PORT
    while True:
        port = free_port(port)
        began_at = _launch(port)
        try:
            _wait(port, say, began_at)
        except _PortTakenError:
            stop_process(_NAME)
            port += 1
            continue
        except ServerError:
            stop_process(_NAME)
            raise
        return address(port)


def command(port: int) -> list[str]:
    """The command line of the server."""
    start = [sys.executable, "-P", "-m", "prefect", "server", "start"]
    return [*start, "--host", "127.0.0.1", "--port", str(port)]


def _launch(port: int) -> int:
    """Start it; where its words will begin in the log."""
    log = log_file(_NAME)
    size = log.stat().st_size if log.exists() else 0
    # Without being told, its pages would ask port 4200, which may be somebody else's server.
    # What it sends to others has links to them.
    api = address(port)
    places = {"PREFECT_SERVER_UI_API_URL": api, "PREFECT_UI_URL": api.removesuffix("/api")}
    start_process(_NAME, command(port), places, port=port)
    return size


def _wait(port: int, say: Say, began_at: int | None = None) -> None:
    """Until the recorded server answers on its port, for as long as it lives and works.

    Args:
        began_at: where its words begin in the log; `None` = it was started by another.

    Raises:
        _PortTakenError: it ended, or is about to, because the port belongs to another process.
        ServerError: it ended for another reason, or hangs.
    """
    began = reported = moved = time.monotonic()
    before = -1.0
    while True:
        record = find_process(_NAME)
        if record is None:
            # Whoever had the port may be gone by now.
            if free_port(port) != port or _PORT_TAKEN in _log_since(began_at):
                raise _PortTakenError
            raise ServerError(f"the Prefect server did not start; {_log_end()}")
        if healthy(address(port)) and listens(record, port):
            return
        _require_reach(record, port)
        now = time.monotonic()
        done = work(record)
        if done != before:
            before, moved = done, now
        elif now - moved > _STUCK_SECONDS:
            raise ServerError(
                f"the Prefect server (process {record['pid']}) has neither answered nor done "
                f"anything for {_STUCK_SECONDS:.0f} s; {_log_end()}"
            )
        if now - reported > _SAY_SECONDS:
            reported = now
            say(f"the Prefect server is still starting, after {now - began:.0f} s")
        time.sleep(_LOOK_SECONDS)


def _require_reach(record: Record, port: int) -> None:
    """Raises:
    OutOfReachError: a recorded server has another loopback interface than this process.
    """
    pid = int(record["pid"])
    try:
        there, here = (Path(f"/proc/{process}/ns/net").readlink() for process in (pid, "self"))
    except OSError:  # it ended meanwhile, or this is no Linux
        return
    if there != here:
        raise OutOfReachError(
            f"the Prefect server of this home (process {pid}, port {port}) lives in another "
            "network namespace, such as a container's, and cannot be reached from here. Give the "
            "command there; or stop that server (`ingot down`) and run again; or choose another "
            "home (INGOT_HOME)"
        )


def work(record: Record) -> float:
    """Grows as long as a process does anything: its processor seconds and the size of its log."""
    seconds = 0.0
    for member in family(record):
        try:
            times = member.cpu_times()
        except psutil.Error:
            continue
        seconds += round(times.user + times.system, 1)
    log = log_file(_NAME)
    return seconds + (log.stat().st_size if log.exists() else 0)


# What uvicorn writes then.
_PORT_TAKEN = "address already in use"


def _log_since(place: int | None) -> str:
    """What a server said that was started when the log had so many bytes."""
    if place is None:
        return ""
    return log_file(_NAME).read_bytes()[place:].decode(errors="replace")


def _log_end() -> str:
    log = log_file(_NAME)
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return f"{log} ends:\n" + "\n".join(lines)
