"""Reports over HTTP on this machine: from a page, browsers follow no link to a file."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from pathlib import Path

from flows.server import free_port, known, start_process, stop_process
from tasks.engine.artifact import Artifact, recipe_folder
from tasks.engine.store import Store

_NAME = "reports"
_FIRST_PORT = 4300
_TRIES = 5
_START_SECONDS = 15.0
_SETTLE_SECONDS = 0.5


def ensure_reports(store: Store) -> str | None:
    """Serve the reports of a store on the loopback interface, if nobody does yet.

    Returns:
        The address; none for a store elsewhere, whose reports lie in no folder here.
    """
    if not store.local:
        return None
    folder = store.local_path("artifacts/report")
    found = address(store)
    if found is None:
        stop_process(_NAME)  # it may serve another home
        folder.mkdir(parents=True, exist_ok=True)
        for first in range(_FIRST_PORT, _FIRST_PORT + _TRIES):
            if _start(folder, free_port(first)):
                return address(store)
    return found


def _start(folder: Path, port: int) -> bool:
    """Whether a server came up there; another process may have taken the port just before."""
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]
    command += ["--directory", str(folder), str(port)]
    start_process(_NAME, command, port=port, folder=str(folder))
    deadline = time.monotonic() + _START_SECONDS
    while known(_NAME) is not None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            time.sleep(_SETTLE_SECONDS)
            return known(_NAME) is not None  # it answers, and not in the place of ours
        time.sleep(_SETTLE_SECONDS)
    stop_process(_NAME)
    return False


def address(store: Store) -> str | None:
    """Where the reports of a store are served; none where they are not."""
    record = known(_NAME)
    if record is None or not store.local:
        return None
    if record["folder"] != str(store.local_path("artifacts/report")):
        return None
    return f"http://127.0.0.1:{record['port']}"


def page(artifact: Artifact) -> str:
    """The link to a report: served, else as a file."""
    path = artifact.data("report").folder() / "index.html"
    served = address(artifact.store)
    if served is None:
        return path.as_uri()
    manifest = artifact.manifest
    recipe = recipe_folder(manifest.stage, manifest.recipe_id).rsplit("/", 1)[1]
    return f"{served}/{recipe}/{manifest.attempt}/report/index.html"
