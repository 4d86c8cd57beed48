"""Reports over HTTP on this machine: from a page, browsers follow no link to a file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flows.processes import free_port, known, listens, locked, start_process, stop_process
from tasks.engine.artifact import Artifact, recipe_folder
from tasks.engine.store import Store

_NAME = "reports"
_FIRST_PORT = 4300
_TRIES = 5
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.1


def ensure_reports(store: Store) -> str | None:
    """Serve the reports of a store on the loopback interface, if nobody does yet.

    Returns:
        The address; none for a store elsewhere, whose reports lie in no folder here.
    """
    if not store.local:
        return None
    folder = store.local_path("artifacts/report")
    with locked(_NAME):
        found = address(store)
        if found is not None:
            return found
        stop_process(_NAME)  # it may serve another folder
        folder.mkdir(parents=True, exist_ok=True)
        port = _FIRST_PORT
        for _ in range(_TRIES):
            port = free_port(port)
            if _start(folder, port):
                return address(store)
            port += 1
    return None


def _start(folder: Path, port: int) -> bool:
    """Whether a server came up there; another process may have taken the port just before."""
    command = [sys.executable, "-P", "-m", "http.server", "--bind", "127.0.0.1"]
    command += ["--directory", str(folder), str(port)]
    start_process(_NAME, command, port=port, folder=str(folder))
    deadline = time.monotonic() + _START_SECONDS
    while (record := known(_NAME)) is not None and time.monotonic() < deadline:
        if listens(record, port):
            return True
        time.sleep(_LOOK_SECONDS)
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
