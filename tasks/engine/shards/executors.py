"""Executors: who runs the shards. In this process, or in spawned worker processes.

A worker is a child that dies with this process (llm/process/child.py). A shard whose
worker crashed or whose function raised is tried once more; then it is reported
as failed, and the caller decides whether the stage can bear it. Memory is
bounded by the number of workers and by replacing a worker that has grown.
llm/process/child.py says why the pool is ours.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from llm.process.child import Child, ChildCrashedError, ChildFailedError
from tasks.engine import errors
from tasks.engine.errors import CancelledError, IngotError, StoreFullError
from tasks.engine.store.space import full, means_full

_RUN_SHARD = "tasks.engine.shards.receipt:run_shard"
_TRIES = 2

# Trying these again cannot help, and going on with other shards would hide them.
_FATAL = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, IngotError)
}


@dataclass(frozen=True)
class Job:
    """A call of `run_shard`, with what it is called for people."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Failure:
    """Why a shard could not be built, after all tries."""

    kind: str
    message: str


Result = tuple[Job, Any | Failure]


def worker_count(asked: int, jobs: int) -> int:
    """Workers to start: as asked, or one per core this process may use; never more than jobs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(asked or cores or 1, jobs))


def run_jobs(
    jobs: Sequence[Job], workers: int, in_process: bool, cancelled: Callable[[], bool]
) -> Iterator[Result]:
    """Run every job, yielding each as it ends, in whatever order that is.

    Raises:
        CancelledError: `cancelled()` became true between two results.
        IngotError: an error that no retry can mend (no space, damaged input, wrong columns).
    """
    if in_process:
        yield from _here(jobs, cancelled)
    else:
        yield from _workers(jobs, workers, cancelled)


def _here(jobs: Sequence[Job], cancelled: Callable[[], bool]) -> Iterator[Result]:
    from tasks.engine.shards.receipt import run_shard

    for job in jobs:
        if cancelled():
            raise CancelledError(f"cancelled before shard {job.name}")
        outcome: Any = None
        for _ in range(_TRIES):
            try:
                outcome = run_shard(*job.arguments)
                break
            except IngotError:
                raise
            except Exception as error:  # noqa: BLE001 - any fault of a shard is reported by name
                _require_space(job, f"{type(error).__name__}: {error}", error)
                outcome = Failure(type(error).__name__, traceback.format_exc(limit=-6))
        yield job, outcome


def _workers(jobs: Sequence[Job], workers: int, cancelled: Callable[[], bool]) -> Iterator[Result]:
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
    stop = threading.Event()
    # A worker that holds more than its share of memory is replaced after its shard.
    share = int(psutil.virtual_memory().total * 0.5 / workers)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    children = [Child(environment) for _ in range(workers)]

    def serve(child: Child) -> None:
        while not stop.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                outcome = _try(child, job, stop)
            except BaseException as error:  # noqa: BLE001 - handed to the consuming thread
                done.put(error)
                return
            done.put((job, outcome))
            if child.pid is not None and child.rss_bytes() > share:
                child.close()

    threads = [
        threading.Thread(target=serve, args=(child,), daemon=True, name=f"worker-{index}")
        for index, child in enumerate(children)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            while True:
                if cancelled():
                    raise CancelledError("cancelled; finished shards are kept")
                try:
                    result = done.get(timeout=0.2)
                    break
                except queue.Empty:
                    continue
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stop.set()
        for child in children:
            child.kill()
        for thread in threads:
            thread.join(timeout=5)


def _require_space(job: Job, told: str, error: Exception) -> None:
    """A full disk is no fault of the shard: its rows must not end up as rejected.

    Raises:
        StoreFullError: the error tells of one.
    """
    if means_full(told):
        raise StoreFullError(f"{full(job.arguments[4])} ({told})") from error


def _try(child: Child, job: Job, stop: threading.Event) -> Any | Failure:
    outcome: Any = None
    for _ in range(_TRIES):
        if stop.is_set():
            return Failure("CancelledError", "stopped")
        try:
            return child.call(_RUN_SHARD, *job.arguments)
        except ChildFailedError as error:
            fatal = _FATAL.get(error.type_name)
            if fatal is not None:
                raise fatal(error.message) from error
            _require_space(job, f"{error.type_name}: {error.message}", error)
            outcome = Failure(error.type_name, error.traceback_text)
        except ChildCrashedError as error:
            outcome = Failure("worker crashed", str(error))
    return outcome
