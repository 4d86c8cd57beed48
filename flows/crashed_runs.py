"""Flow runs whose end the server was not told: found by process id, and told by whoever is next.

A process that is killed cannot tell Prefect, nor can one that ends while the server is away.
Prefect would show its run as running for ever and keep counting it against the deployment's
limit. So every run leaves a note of its process in `<home>/prefect/runs/`, which it takes away
once its end can be recorded, or on which it writes how it ended. Beside that lie the log lines the
server was not told.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from httpx import HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Crashed, State

from flows.home import local_home
from flows.server import print_error
from tasks.best_effort import unreachable
from tasks.engine.store import process_identity


def _folder() -> Path:
    return local_home().resolve() / "prefect" / "runs"


_KILLED = "its process was killed; run again to continue"
_ENDED = "the Prefect server was away when it ended"
_LINES = ".lines"
_LINES_AT_ONCE = 200


@contextlib.contextmanager
def run_record(settle: Callable[[bool], bool]) -> Iterator[None]:
    """Keep a note of the current flow run's process for as long as the block runs.

    Args:
        settle: whether the server can be told how the block ended; if not, the note stays. Its
            argument: whether it may wait for that, as it may not where the block was interrupted.
    """
    if flow_run.id is None:
        yield
        return
    path = _folder() / f"{flow_run.id}.json"
    record = process_identity.identify()
    _write_record(path, record)
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
        if settle(ended is not StateType.CRASHED):
            path.unlink(missing_ok=True)
        else:
            _write_record(path, {**record, "ended": ended.value})


def _write_record(path: Path, record: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Write a note, whole or not at all; a run does not fail for want of it."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(record))
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        get_run_logger().warning(
            "this run cannot be recorded (%s): if it is killed, Prefect goes on showing it "
            "as running",
            error,
        )


def keep_log_lines(lines: Sequence[Mapping[str, Any]]) -> None:
    """Keep log lines of the current flow run for the next command to send."""
    if flow_run.id is not None and lines:
        _write_record(_folder() / f"{flow_run.id}{_LINES}", lines)


def _record_of_dead(path: Path) -> dict[str, Any] | None:
    """What the note of a process that is gone says; `None` while it lives."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None  # it ended meanwhile
    except ValueError:
        return {}  # cut short when the disk was full, which its run did not outlive
    # Of another machine: not ours to judge.
    return record if process_identity.is_alive(record) is False else None


def report_crashed_runs() -> list[str]:
    """Tell the server how the runs of dead processes of this machine ended; ids of those killed.

    Needs `PREFECT_API_URL`; what Prefect holds as ended already stays as it is.
    """
    dead = [
        (path, record)
        for path in _folder().glob("*.json")
        if (record := _record_of_dead(path)) is not None
    ]
    if not dead:
        return []
    crashed = []
    with get_client(sync_client=True) as client:
        for note, record in dead:
            lines = note.with_suffix(_LINES)
            with contextlib.suppress(ObjectNotFound):  # another database since
                run = client.read_flow_run(note.stem)  # type: ignore[arg-type]
                if run.state is not None and not run.state.is_final():
                    ended = record.get("ended")
                    state = State(type=StateType(ended), message=_ENDED) if ended else None
                    client.set_flow_run_state(run.id, state or Crashed(message=_KILLED), force=True)
                    if state is None:
                        crashed.append(str(run.id))
                _send(client, lines)
            lines.unlink(missing_ok=True)
            note.unlink(missing_ok=True)
    return crashed


def _send(client: SyncPrefectClient, kept: Path) -> None:
    """The log lines of a run whose server was away at its end."""
    try:
        lines: list[dict[str, Any]] = json.loads(kept.read_text())
    except (FileNotFoundError, ValueError):  # none, or cut short when the disk was full
        return
    try:
        for start in range(0, len(lines), _LINES_AT_ONCE):
            client.create_logs(lines[start : start + _LINES_AT_ONCE])
    except HTTPStatusError as error:
        if unreachable(error):
            raise
        # Another version of Prefect may want them otherwise; they are not worth a command.
        print_error(
            f"log lines of flow run {kept.stem} were refused by the Prefect server: {error}"
        )
