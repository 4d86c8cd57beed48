"""The Prefect server and workers of this machine: started in the background, found again, stopped.

What runs is remembered in `<home>/prefect/*.json` by process id and start time,
so a recycled id is never mistaken for ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil

from flows.home import local_home
from tasks.engine.errors import IngotError

_FIRST_PORT = 4200
_START_SECONDS = 90.0


class ServerError(IngotError):
    """The Prefect server did not come up."""


def _folder() -> Path:
    folder = local_home().resolve() / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _alive(record: Path) -> dict[str, str | int | float] | None:
    try:
        found: dict[str, str | int | float] = json.loads(record.read_text())
        process = psutil.Process(int(found["pid"]))
        same = abs(process.create_time() - float(found["started"])) < 1.0
        return found if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.Error):
        return None


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port(first: int) -> int:
    """The first port of the loopback interface, from `first` on, that nobody listens on."""
    for port in range(first, first + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As the server itself will: a port whose connections just closed is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerError(f"no free port from {first} to {first + 99}")


def start_process(
    name: str,
    command: list[str],
    environment: Mapping[str, str] | None = None,
    **facts: str | int,
) -> None:
    """Start a background process that outlives this one, remembered under `name`.

    Args:
        environment: set on top of this process's own.
        facts: kept in its record, see `running`.
    """
    folder = _folder()
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    started = psutil.Process(process.pid).create_time()
    record = {"pid": process.pid, "started": started, **facts}
    (folder / f"{name}.json").write_text(json.dumps(record))


def known(name: str) -> dict[str, str | int | float] | None:
    """The record of a background process that is alive, its facts included."""
    return _alive(_folder() / f"{name}.json")


def running(name: str, **facts: str | int) -> bool:
    """Whether the background process of that name is alive, and was started with these facts."""
    record = known(name)
    return record is not None and all(record.get(key) == value for key, value in facts.items())


def stop_process(name: str) -> bool:
    """End a background process and its children; False if it was not running."""
    record = _folder() / f"{name}.json"
    alive = _alive(record)
    record.unlink(missing_ok=True)
    if alive is None:
        return False
    process = psutil.Process(int(alive["pid"]))
    family = [process, *process.children(recursive=True)]
    for sent in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.send_signal(sent)
        if not psutil.wait_procs(family, timeout=8)[1]:
            break
    return True


def stop_all() -> list[str]:
    """Stop workers, then the server; the names of what was running."""
    names = sorted(path.stem for path in _folder().glob("*.json"))
    names.sort(key=lambda name: name == "server")
    return [name for name in names if stop_process(name)]


def find_server() -> str | None:
    """API URL of the server to use: the one the user set, else ours if it is up."""
    given = os.environ.get("PREFECT_API_URL")
    if given:
        return given
    record = known("server")
    if record is None:
        return None
    url = f"http://127.0.0.1:{record['port']}/api"
    return url if _healthy(url) else None


def ensure_server() -> tuple[str, bool]:
    """The API URL of a server that answers, started if need be; and whether it was.

    A real server also for one run: the in-process one loses task-run records.

    Raises:
        ServerError: it did not answer in time; its log is named.
    """
    with (_folder() / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two commands at once must not start two servers
        found = find_server()
        url = found or _start_server()
    os.environ["PREFECT_API_URL"] = url
    return url, found is None


def _start_server() -> str:
    stop_process("server")  # alive without answering is of no use
    port = free_port(_FIRST_PORT)
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start"]
    # Without being told, its pages would ask port 4200, which may be somebody else's server.
    pages = {"PREFECT_SERVER_UI_API_URL": url}
    start_process(
        "server", [*command, "--host", "127.0.0.1", "--port", str(port)], pages, port=port
    )
    deadline = time.monotonic() + _START_SECONDS
    while not _healthy(url):
        if not running("server") or time.monotonic() > deadline:
            log = _folder() / "server.log"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
            raise ServerError(f"the Prefect server did not start; {log} ends:\n{tail}")
        time.sleep(0.2)
    return url
