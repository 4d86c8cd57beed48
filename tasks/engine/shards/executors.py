"""Executors: where jobs run. Here: in this process, or in worker processes of this machine.

Those of clusters are in `dask_cluster.py` and `ray_cluster.py` beside this; `place.py` chooses.

An executor carries a job out somewhere and brings back its receipt; it knows nothing of stages,
second tries or how many shards may fail (`tasks/engine/shards/run_jobs.py`). The parts of a job lie
in the store's staging by then. llm/process/child.py says why the pool is ours.
"""

from __future__ import annotations

import os
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import psutil

from llm.errors import traced
from llm.process.child import Child
from tasks.engine.errors import IngotError
from tasks.engine.shards.ended import JobFailedError, in_child
from tasks.engine.shards.job import Job, run_job
from tasks.engine.shards.receipt import Receipt

_RUN_JOB = f"{run_job.__module__}:{run_job.__qualname__}"


class Executor(Protocol):
    """Somewhere jobs can be carried out.

    Attributes:
        at_once: how many jobs are worth having submitted before the first of them has ended.
        elsewhere: its workers see the store, and no other file of this machine.
    """

    elsewhere: bool

    @property
    def at_once(self) -> int: ...

    def submit(self, job: Job) -> Future[Receipt]:
        """Have a job carried out.

        Returns:
            Its receipt, in time; or `JobFailedError`; or an `IngotError` that no second try mends.
        """

    def close(self) -> None:
        """End at once, whatever is running; nothing can be submitted any more."""


class InProcess:
    """Runs each job where it is submitted: one after the other, under a debugger if need be."""

    at_once = 1
    elsewhere = False

    def submit(self, job: Job) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        try:
            future.set_result(run_job(job))
        except IngotError as error:
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - any fault of a shard is reported by name
            said = str(error)
            failed = JobFailedError(type(error).__name__, said, traced(error, -6) or said)
            failed.__cause__ = error
            future.set_exception(failed)
        return future

    def close(self) -> None:
        return


def child_environment() -> dict[str, str]:
    """That of a process that builds shards: several of them share the cores and the memory."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}


def memory_share(workers: int) -> int:
    """Bytes above which a worker is replaced after its shard, where there are so many."""
    return int(psutil.virtual_memory().total * 0.5 / workers)


class ProcessPool:
    """Spawned worker processes, each of which dies with this one (llm/process/child.py).

    Memory is bounded by their number, and by replacing one that has grown.
    """

    elsewhere = False

    def __init__(self, workers: int) -> None:
        # One job waits for each worker, so that none stands still while a receipt is taken in.
        self.at_once = 2 * workers
        # A worker that holds more than its share of memory is replaced after its shard.
        self._share = memory_share(workers)
        self._children = [Child(child_environment()) for _ in range(workers)]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._children:
            self._idle.put(child)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    def submit(self, job: Job) -> Future[Receipt]:
        return self._threads.submit(self._call, job)

    def _call(self, job: Job) -> Receipt:
        child = self._idle.get()  # there are as many threads as children
        try:
            return in_child(child, _RUN_JOB, job).result()
        finally:
            if child.pid is not None and child.rss_bytes() > self._share:
                child.close()
            self._idle.put(child)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.kill()
        self._threads.shutdown(wait=True)
