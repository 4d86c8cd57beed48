"""A lease: at most one run builds a recipe at a time, and a dead one is succeeded.

Each holder creates the next numbered file exclusively, so taking over is one
atomic step and the highest number is the holder (a fencing token). The holder
rewrites its own file as heartbeat. A lease is free when it was released. Else,
on the machine of its holder, whether that process lives decides: no clock that
is set forward, no sleep of the machine takes a lease from a living process.
From other machines the heartbeat is all there is to see: one older than its
time to live is free.

Ours, because libraries for file locks rest on the kernel of one machine; a store
may be an object store, which offers to create a file exclusively, and no more.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tasks.engine.errors import CancelledError, LeaseLostError, StoreFullError
from tasks.engine.store.process_identity import identify, is_alive
from tasks.engine.store.store import Store

TIME_TO_LIVE = 60.0
_LOOK_AGAIN = 0.05

# Holders of leases in this very process: one that is not among them gave its lease up without
# being able to write so.
_HELD: set[str] = set()


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
        alive = is_alive(record)
        if alive is None:  # of another machine
            return self.silent
        if alive and record["pid"] == os.getpid():
            return record["holder"] not in _HELD
        return not alive

    @property
    def silent(self) -> bool:
        """Whether its heartbeat is overdue."""
        return bool(time.time() > self.record["heartbeat"] + self.record["time_to_live"])

    def __str__(self) -> str:
        owner = f"process {self.record['pid']} on {self.record['host']}"
        return f"{owner} (alive, its heartbeat overdue)" if self.silent else owner


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
            **identify(),
            "time_to_live": time_to_live,
            "released": False,
        }

    def _path(self) -> str:
        return f"{self._folder}/{self._number:06d}.json"

    def _bytes(self) -> bytes:
        return json.dumps({**self._record, "heartbeat": time.time()}).encode()

    def __enter__(self) -> Lease:
        warned_at = 0.0
        _HELD.add(self._record["holder"])  # before others can see it
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
                except BaseException:
                    _HELD.discard(self._record["holder"])  # written or not: nobody works under it
                    raise
            if self._cancelled():
                raise CancelledError(f"cancelled while waiting for {current}")
            if time.monotonic() - warned_at > 10:
                self._on_wait(current)
                warned_at = time.monotonic()
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
            _HELD.discard(self._record["holder"])
            self._record["released"] = True
            try:
                self._store.replace(self._path(), self._bytes())
            except StoreFullError:
                # Taking it away needs no room, and whoever held the number before is long gone.
                self._store.remove(self._path())
            except Exception as problem:
                if error is None:
                    raise
                # What ended the work is the one to tell; here the end of this process frees it.
                error.add_note(f"The lease {self._path()} could not be released: {problem}")
