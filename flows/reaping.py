"""Flow runs whose process died without a word: found by process id, marked Crashed.

A process that is killed cannot tell Prefect, which would show its run as running
for ever and keep counting it against the deployment's limit. So every run leaves
a note of its process in `<home>/prefect/runs/`, and whoever comes next looks.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.home import local_home
from tasks.engine import living


def _folder() -> Path:
    return local_home().resolve() / "prefect" / "runs"


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Keep a note of the current flow run's process for as long as the block runs."""
    if flow_run.id is None:
        yield
        return
    path = _folder() / f"{flow_run.id}.json"
    _keep(path, living.note())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _keep(path: Path, noted: Mapping[str, Any]) -> None:
    """Write a note, whole or not at all; a run does not fail for want of it."""
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(noted))
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        get_run_logger().warning(
            "no note of this run can be kept (%s): killed, it would be shown as running", error
        )


def _dead(path: Path) -> bool:
    try:
        noted = json.loads(path.read_text())
    except FileNotFoundError:
        return False  # it ended meanwhile
    except ValueError:
        return True  # cut short when the disk was full, which its run did not outlive
    return living.lives(noted) is False  # of another machine: not ours to judge


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
