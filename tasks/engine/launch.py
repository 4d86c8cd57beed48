"""Starting a trainer: `python -m <module> run.json`, its events read from a pipe.

The child stays in this process's group, so a signal to the group reaches it;
its standard input is a pipe held here, so it ends when this process does,
however that happens. See docs/stage-contract.md for the events.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llm.safe_path import safe_path
from tasks.engine.errors import CancelledError, StoreFullError, TrainerError

GRACE_SECONDS = 25.0
PACE = {
    # With neighbours on the machine, spinning threads slow each other to a crawl.
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc gives tensors of a step back to the system and faults their pages in again at the
    # next one: kept, a step of a small model takes little more than half the time.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
_ENVIRONMENT = {"INGOT_LIFELINE": "1", **PACE}
_TERMINATED = {143, -signal.SIGTERM}


def command(module: str, run_file: Path, processes: int) -> list[str]:
    """The command line: plain Python for one process, torchrun for several."""
    if processes > 1:
        runner = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        return [sys.executable, "-P", *runner, "-m", module, str(run_file)]
    return [sys.executable, "-P", "-u", "-m", module, str(run_file)]


def launch(
    module: str,
    run: Mapping[str, Any],
    folder: Path,
    on_event: Callable[[dict[str, Any]], None],
    cancelled: Callable[[], bool],
    environment: Mapping[str, str],
    processes: int = 1,
) -> None:
    """Run a trainer to its end.

    Args:
        folder: where run.json and the log of its standard error are written.

    Raises:
        TrainerError: it ended with an error; the message is the trainer's own, or the end of
            its log.
        CancelledError: it was asked to stop and did, after writing a checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run_file, log_file = folder / "run.json", folder / "stderr.log"
    run_file.write_text(json.dumps(run, indent=1))
    said: dict[str, Any] | None = None
    recent: deque[str] = deque(maxlen=5)
    asked = False
    inherited = {**os.environ, **_ENVIRONMENT, **environment}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command(module, run_file, processes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**inherited, **safe_path(inherited)},
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                try:
                    event = json.loads(line)
                except ValueError:
                    event = None
                if not isinstance(event, dict):  # some library's own line
                    recent.append(line.decode(errors="replace").rstrip())
                    continue
                if event.get("event") == "error":
                    # The first one is the cause; other processes of a group fail after it.
                    said = said or event
                else:
                    on_event(event)
                if cancelled() and process.poll() is None:
                    asked = True
                    process.send_signal(signal.SIGTERM)
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
    if code == 0:
        return
    if asked or code in _TERMINATED:  # torchrun ends with 1 when it was asked to stop
        raise CancelledError(f"{module} was stopped; it goes on from its checkpoint next time")
    if said is not None:
        message = f"{said.get('type', 'error')}: {said.get('message', '')}"
        if "No space left" in message:
            raise StoreFullError(f"{module}: {message}")
        raise TrainerError(f"{module}: {message}")
    tail = log_file.read_text(errors="replace").splitlines()[-15:]
    lines = "\n".join([*recent, *tail])
    raise TrainerError(
        f"{module} ended with exit code {code}. Its last words ({log_file}):\n{lines}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, insist."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
