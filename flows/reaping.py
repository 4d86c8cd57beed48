"""Flow runs whose end the server was not told: found by process id, and told by whoever is next.

A process that is killed cannot tell Prefect, nor can one that ends while the server is away.
Prefect would show its run as running for ever and keep counting it against the deployment's
limit. So every run leaves a note of its process in `<home>/prefect/runs/`, which it takes away
once its end can be recorded, or on which it writes how it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed, State

from flows.home import local_home


def _folder() -> Path:
    folder = local_home().resolve() / "prefect" / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_KILLED = "its process was killed; run again to go on"
_ENDED = "the Prefect server was away when it ended"


@contextlib.contextmanager
def registered(settle: Callable[[], bool]) -> Iterator[None]:
    """Keep a note of the current flow run's process for as long as the block runs.

    Args:
        settle: whether the server can be told how the block ended; if not, the note stays.
    """
    if flow_run.id is None:
        yield
        return
    note = _folder() / f"{flow_run.id}.json"
    pid = os.getpid()
    started = psutil.Process(pid).create_time()
    about = {"pid": pid, "started": started, "host": socket.gethostname()}
    note.write_text(json.dumps(about))
    ended = StateType.COMPLETED
    try:
        yield
    except Exception:
        ended = StateType.FAILED
        raise
    except BaseException:
        ended = StateType.CRASHED
        raise
    finally:
        if settle():
            note.unlink(missing_ok=True)
        else:
            note.write_text(json.dumps({**about, "ended": ended.value}))


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
    """Tell the server how the runs of dead processes of this machine ended; ids of those killed.

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
                    ended = json.loads(note.read_text()).get("ended")
                    state = State(type=StateType(ended), message=_ENDED) if ended else None
                    client.set_flow_run_state(run.id, state or Crashed(message=_KILLED), force=True)
                    if state is None:
                        reaped.append(str(run.id))
            note.unlink(missing_ok=True)
    return reaped
