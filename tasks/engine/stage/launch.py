"""Starting a trainer: `python -m <module> run.json`, its events read from a pipe.

See docs/stage-contract.md for the events.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from llm.process.parent import TERMINATED, defer_signals
from llm.process.safe_path import safe_path
from tasks.engine.errors import CancelledError, StoreFullError, TrainerError
from tasks.engine.stage.launched import Launched
from tasks.engine.stage.ranks import Ranks
from tasks.engine.store.space import full, means_full, room_left, space_checked

# A Prefect worker kills what has not ended 30 s after it was asked to.
GRACE_SECONDS = 25.0
# Who pressed Ctrl-C can press it again, so a long step may end; who closed the terminal is gone.
PATIENCE_SECONDS = 120.0
_NO_ROOM = 1 << 16
_KILLED = "Signal 9 (SIGKILL)"  # as torchrun words it
PACE = {
    # Threads that wait spin for some microseconds, then sleep: asleep at once, they cost a small
    # model a quarter of its speed; spinning on, they slow their neighbours and each other.
    "GOMP_SPINCOUNT": "10000",
    # glibc gives tensors of a step back to the system and faults their pages in again at the
    # next one: kept, a step of a small model takes little more than half the time.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    # In large pages, where Linux gives them to who asks: a step reads more memory than small ones
    # are kept track of, and takes a fourteenth less time. What a user sets comes last, and wins.
    "GLIBC_TUNABLES": f"glibc.malloc.hugetlb=1:{os.environ.get('GLIBC_TUNABLES', '')}".rstrip(":"),
}
ALONE = Ranks()
_TERMINATED = {TERMINATED, -signal.SIGTERM}


def launch(
    module: str,
    run: Mapping[str, Any],
    folder: Path,
    on_event: Callable[[dict[str, Any]], None],
    cancelled: Callable[[], bool],
    environment: Mapping[str, str],
    ranks: Ranks = ALONE,
    checkpoint: str = "",
) -> None:
    """Run a trainer to its end.

    Whatever interrupts this (a signal, a cancelled flow run) is raised again after the trainer was
    asked to stop and did, or was ended because it took too long or Ctrl-C came again.

    Args:
        ranks: its processes; where some are on other nodes, a log event says how to start them.
        folder: where run.json and the log of its standard error are written.
        checkpoint: a pattern under it for the file that makes a checkpoint whole; "" where the
            module writes none.

    Raises:
        TrainerError: it ended with an error; the message is the trainer's own, or the end of
            its log.
        StoreFullError: no space was left for it to write to.
        CancelledError: it was asked to stop and did.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run_file, log_file = folder / "run.json", folder / "stderr.log"
    with space_checked(str(run_file)):
        run_file.write_text(json.dumps(run, indent=1))
    output = _TrainerOutput(on_event)
    leftovers = _Leftovers(folder, checkpoint)
    requested: float | None = None
    overdue = False
    with log_file.open("wb") as log:
        variables = {**PACE, **environment}
        variables |= safe_path({**os.environ, **variables})
        process = None
        try:
            with defer_signals():
                process = Launched(ranks.command(module, run_file), log, variables)
            for number, command in enumerate(ranks.other_commands(module, run_file), start=2):
                output.log(f"waits for node {number} of {ranks.nodes}; start it with: {command}")
            for line in process.lines():
                if line is not None:
                    output.read(line)
                if requested is None and cancelled():
                    requested = time.monotonic()
                    process.request_stop()
                if requested is not None and time.monotonic() - requested > GRACE_SECONDS:
                    overdue = True
                    break
        except BaseException as reason:
            if process is not None:
                _stop(module, process, output, leftovers, reason)
            raise
        code = process.end() if overdue else process.wait()
    if code == 0:
        return
    if requested is not None or code in _TERMINATED:
        # torchrun ends with 1 when it was asked to stop.
        raise CancelledError(f"{module} {leftovers.stopped_message(overdue)}")
    raise _fault(module, code, output, leftovers, log_file, ranks)


class _TrainerOutput:
    """What a trainer says: events are handed on, the first error and other lines are kept."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self.on_event = on_event
        self.error: dict[str, Any] | None = None
        self.recent: deque[str] = deque(maxlen=5)

    def read(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):  # some library's own line
            self.recent.append(line.decode(errors="replace").rstrip())
        elif event.get("event") == "error":
            # The first one is the cause; other processes of a group fail after it.
            self.error = self.error or event
        else:
            self.on_event(event)

    def log(self, message: str) -> None:
        """A line for the user, of the launcher's own."""
        self.on_event({"event": "log", "message": message})


class _Leftovers:
    """What a run that ended early leaves for the next one, as it lies on the disk."""

    def __init__(self, folder: Path, checkpoint: str) -> None:
        self._folder, self._checkpoint = folder, checkpoint

    def stopping_message(self, module: str) -> str:
        if self._checkpoint:
            return f"stopping {module}: it writes a checkpoint first"
        return f"stopping {module}: the next run starts it from the beginning"

    def next_run(self) -> str:
        """What the next run will do."""
        if self._checkpoint and any(self._folder.glob(self._checkpoint)):
            return "the next run resumes from its last checkpoint"
        return "the next run starts it from the beginning"

    def stopped_message(self, overdue: bool) -> str:
        if overdue:
            return f"did not stop in time and was ended; {self.next_run()}"
        return f"was stopped; {self.next_run()}"


def _stop(
    module: str,
    process: Launched,
    output: _TrainerOutput,
    leftovers: _Leftovers,
    reason: BaseException,
) -> None:
    """Ask, wait, insist; a second interrupt ends the waiting and the process."""
    patience = PATIENCE_SECONDS if isinstance(reason, KeyboardInterrupt) else GRACE_SECONDS
    again = "; Ctrl-C again ends it at once" if type(reason) is KeyboardInterrupt else ""
    overdue, last = False, list[bytes]()
    try:
        process.request_stop()
        output.log(f"{leftovers.stopping_message(module)}; waiting up to {patience:.0f} s{again}")
        deadline = time.monotonic() + patience
        for line in process.lines():
            if line is not None:
                last.append(line)
            overdue = time.monotonic() > deadline
            if overdue:
                break
        else:
            process.wait()
    finally:
        with defer_signals():
            process.end()
    # Only now: whoever listens may fail, and the checkpoint must not.
    for line in last:
        output.read(line)
    output.log(f"{module} {leftovers.stopped_message(overdue)}")


def _fault(
    module: str,
    code: int,
    output: _TrainerOutput,
    leftovers: _Leftovers,
    log_file: Path,
    ranks: Ranks,
) -> TrainerError | StoreFullError:
    """Why it ended: its own error, else what its exit code and the end of its log tell."""
    tail = log_file.read_text(errors="replace").splitlines()[-15:]
    cause = output.error
    if cause is not None:
        message = f"{module}: {cause.get('type', 'error')}: {cause.get('message', '')}"
    elif missing := ranks.fault("\n".join(tail)):
        message = f"{module}: {missing}"
    else:
        lines = "\n".join([*output.recent, *tail])
        message = f"{module} ended with exit code {code}. Its last output ({log_file}):\n{lines}"
    if means_full(message) or room_left(log_file) < _NO_ROOM:
        return StoreFullError(f"{full(log_file.parent)} ({message})")
    if cause is None and (code == -signal.SIGKILL or _KILLED in message):
        memory = psutil.virtual_memory()
        return TrainerError(
            f"{module} was killed (SIGKILL) before it could report why. Most likely the "
            f"system ran out of memory ({memory.total / 1e9:.1f} GB in all, "
            f"{memory.available / 1e9:.1f} GB free now that it is gone): lower the stage's "
            f"micro-batch, or end other programs; {leftovers.next_run()}. Its log is {log_file}"
        )
    return TrainerError(message)
