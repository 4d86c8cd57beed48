"""A lease: at most one run builds a recipe at a time, and a dead one is succeeded.

Each holder creates the next numbered file exclusively, so taking over is one
atomic step and the highest number is the holder (a fencing token). The holder
rewrites its own file as heartbeat. A lease is free when it was released, when
its heartbeat is older than its time to live, or when its holder was a process
of this very boot of this machine that is gone.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tasks.engine.errors import CancelledError, LeaseLostError
from tasks.engine.store import Store

TIME_TO_LIVE = 60.0
_LOOK_AGAIN = 0.05


def _boot() -> str:
    """Equal where process ids mean the same processes: this boot, this namespace of ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return str(psutil.boot_time())


def _process_start(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as its file says."""

    number: int
    record: dict[str, Any]

    def free(self) -> bool:
        """Whether somebody else may take over."""
        record = self.record
        if record["released"]:
            return True
        if record["host"] == socket.gethostname() and record["boot"] == _boot():
            started = _process_start(record["pid"])
            if started is None or abs(started - record["started"]) > 1.0:
                return True
        return bool(time.time() > record["heartbeat"] + record["time_to_live"])

    def __str__(self) -> str:
        return f"process {self.record['pid']} on {self.record['host']}"


def holder(store: Store, folder: str) -> Holder | None:
    """The latest holder of the lease in `folder`, alive or not."""
    numbers = [int(name[:-5]) for name in store.names(folder) if name.endswith(".json")]
    if not numbers:
        return None
    record = store.read_json(f"{folder}/{max(numbers):06d}.json")
    return Holder(max(numbers), record) if record is not None else None


class Lease:
    """Held between `__enter__` and `__exit__`.

    Args:
        folder: where in the store the lease's files lie.
        on_wait: told now and then who is being waited for.
        cancelled: asked while waiting.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        time_to_live: float = TIME_TO_LIVE,
        on_wait: Callable[[Holder], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._folder, self._ttl = store, folder, time_to_live
        self._on_wait, self._cancelled = on_wait, cancelled
        self._number = 0
        self._stop, self._lost = threading.Event(), threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._record: dict[str, Any] = {
            "holder": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "boot": _boot(),
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
            "time_to_live": time_to_live,
            "released": False,
        }

    def _path(self) -> str:
        return f"{self._folder}/{self._number:06d}.json"

    def _bytes(self) -> bytes:
        return json.dumps({**self._record, "heartbeat": time.time()}).encode()

    def __enter__(self) -> Lease:
        told = 0.0
        while True:
            current = holder(self._store, self._folder)
            if current is None or current.free():
                self._number = current.number + 1 if current else 1
                try:
                    self._store.create(self._path(), self._bytes())
                    break
                except FileExistsError:
                    time.sleep(_LOOK_AGAIN)  # somebody was faster
                    continue
            if self._cancelled():
                raise CancelledError(f"cancelled while waiting for {current}")
            if time.monotonic() - told > 10:
                self._on_wait(current)
                told = time.monotonic()
            time.sleep(min(0.5, self._ttl / 4))
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)
        self._thread.start()
        return self

    @property
    def lost(self) -> bool:
        """Whether a later holder was seen; `check` is the one to ask before publishing."""
        return self._lost.is_set()

    def _beat(self) -> None:
        while not self._stop.wait(self._ttl / 4):
            with self._writing:
                if self._stop.is_set():
                    return
                try:
                    self._store.replace(self._path(), self._bytes())
                    current = holder(self._store, self._folder)
                    if current is not None and current.number > self._number:
                        self._lost.set()
                except Exception:  # noqa: BLE001 - clients of object stores raise what they like
                    # A store out of reach for a moment must not end the heartbeat for good; if it
                    # stays so, the lease expires, and `check` tells.
                    continue

    def check(self) -> None:
        """Call before publishing.

        Raises:
            LeaseLostError: a later holder exists.
        """
        current = holder(self._store, self._folder)
        if current is None or current.record["holder"] != self._record["holder"]:
            raise LeaseLostError(
                f"{self._folder}: taken over by {current or 'nobody'}, because this run's "
                "heartbeat stopped for too long; its finished shards are adopted by the other run"
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        with self._writing:
            self._record["released"] = True
            self._store.replace(self._path(), self._bytes())
