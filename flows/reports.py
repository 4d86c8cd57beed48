"""Reports over HTTP on this machine: from a page, browsers follow no link to a file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flows.home import local_home
from flows.processes import find_process, free_port, listens, locked, start_process, stop_process
from tasks.engine.store.artifact import Artifact, build_folder
from tasks.engine.store.store import Store

PICTURES = "pictures"
_NAME = "reports"
_REPORTS = "reports"
_FIRST_PORT = 4300
_TRIES = 5
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.1


def shown_folder() -> Path:
    """What is served: reports, by a link to where the store has them, and pictures."""
    return local_home().resolve() / "prefect" / "shown"


def ensure_reports(store: Store) -> str | None:
    """Serve the reports of a store on the loopback interface, if nobody does yet.

    Returns:
        The address; none for a store elsewhere, whose reports lie in no folder here.
    """
    if not store.local:
        return None
    with locked(_NAME):
        found = report_address(store)
        if found is not None:
            return found
        stop_process(_NAME)  # it may serve another store
        _link(store.local_path("artifacts/report"))
        port = _FIRST_PORT
        for _ in range(_TRIES):
            port = free_port(port)
            if _start(store, port):
                return report_address(store)
            port += 1
    return None


def _link(reports: Path) -> None:
    reports.mkdir(parents=True, exist_ok=True)
    shown_folder().mkdir(parents=True, exist_ok=True)
    link = shown_folder() / _REPORTS
    link.unlink(missing_ok=True)
    link.symlink_to(reports.resolve(), target_is_directory=True)


def _start(store: Store, port: int) -> bool:
    """Whether a server came up there; another process may have taken the port just before."""
    command = [sys.executable, "-P", "-m", "http.server", "--bind", "127.0.0.1"]
    command += ["--directory", str(shown_folder()), str(port)]
    start_process(_NAME, command, port=port, store=store.url)
    deadline = time.monotonic() + _START_SECONDS
    while (record := find_process(_NAME)) is not None and time.monotonic() < deadline:
        if listens(record, port):
            return True
        time.sleep(_LOOK_SECONDS)
    stop_process(_NAME)
    return False


def report_address(store: Store) -> str | None:
    """Where the reports of a store are served; none where they are not."""
    record = find_process(_NAME)
    if record is None or record.get("store") != store.url:
        return None
    return f"http://127.0.0.1:{record['port']}"


def page(artifact: Artifact) -> str:
    """The link to a report: served, else as a file."""
    path = artifact.data("report").folder() / "index.html"
    address = report_address(artifact.store)
    if address is None:
        return path.as_uri()
    manifest = artifact.manifest
    recipe = build_folder(manifest.stage, manifest.build_id).rsplit("/", 1)[1]
    return f"{address}/{_REPORTS}/{recipe}/{manifest.attempt}/report/index.html"
