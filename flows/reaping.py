"""Flow runs whose process died without a word: found by process id, marked Crashed.

A process that is killed cannot tell Prefect, which would show its run as running
for ever and keep counting it against the deployment's limit. So every run leaves
a note of its process in `<home>/prefect/runs/`, and whoever comes next looks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.home import local_home


def _folder() -> Path:
    folder = local_home().resolve() / "prefect" / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Keep a note of the current flow run's process for as long as the block runs."""
    if flow_run.id is None:
        yield
        return
    note = _folder() / f"{flow_run.id}.json"
    pid = os.getpid()
    started = psutil.Process(pid).create_time()
    note.write_text(json.dumps({"pid": pid, "started": started, "host": socket.gethostname()}))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _dead(note: Path) -> bool:
    try:
        known = json.loads(note.read_text())
        if known["host"] != socket.gethostname():
            return False  # a shared home: not ours to judge
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["started"]) < 1.0
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, psutil.Error):
        return False  # half-written or gone meanwhile


def reap() -> list[str]:
    """Mark the runs of dead processes of this machine Crashed; their ids.

    Needs `PREFECT_API_URL`; what Prefect holds as ended already stays as it is.
    """
    dead = [note for note in _folder().glob("*.json") if _dead(note)]
    if not dead:
        return []
    reaped = []
    with get_client(sync_client=True) as client:
        for note in dead:
            with contextlib.suppress(ObjectNotFound):  # another database since
                run = client.read_flow_run(note.stem)  # type: ignore[arg-type]
                if run.state is not None and not run.state.is_final():
                    state = Crashed(message="its process was killed; run again to go on")
                    client.set_flow_run_state(run.id, state, force=True)
                    reaped.append(str(run.id))
            note.unlink(missing_ok=True)
    return reaped
