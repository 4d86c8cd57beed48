"""Executors: where jobs run. In this process, or in worker processes.

An executor carries a job out somewhere and brings back its receipt; it knows nothing of stages,
second tries or how many shards may fail (`tasks/engine/shards/run_jobs.py`). The parts of a job lie
in the store's staging by then. llm/process/child.py says why the pool is ours.
"""

from __future__ import annotations

import os
import queue
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, cast

import psutil

from llm.errors import ExpectedError
from llm.process.child import Child, ChildCrashedError, ChildFailedError
from tasks.engine import errors
from tasks.engine.errors import IngotError
from tasks.engine.shards.job import Job, run_job
from tasks.engine.shards.receipt import Receipt

_RUN_JOB = f"{run_job.__module__}:{run_job.__qualname__}"

# Trying these again cannot help, and going on with other shards would hide them.
_FATAL = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, IngotError)
}


class JobFailedError(ExpectedError):
    """A job could not be carried out; another try may help.

    Attributes:
        kind: class of the error, or what became of the worker.
        report: for people, a traceback where there is one.
    """

    def __init__(self, kind: str, text: str, report: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.report = kind, report


class Executor(Protocol):
    """Somewhere jobs can be carried out.

    Attributes:
        at_once: how many jobs are worth having submitted before the first of them has ended.
        elsewhere: its workers see the store, and no other file of this machine.
    """

    at_once: int
    elsewhere: bool

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
            failed = JobFailedError(
                type(error).__name__, str(error), traceback.format_exc(limit=-6)
            )
            failed.__cause__ = error
            future.set_exception(failed)
        return future

    def close(self) -> None:
        return


class ProcessPool:
    """Spawned worker processes, each of which dies with this one (llm/process/child.py).

    Memory is bounded by their number, and by replacing one that has grown.
    """

    elsewhere = False

    def __init__(self, workers: int) -> None:
        # One job waits for each worker, so that none stands still while a receipt is taken in.
        self.at_once = 2 * workers
        # A worker that holds more than its share of memory is replaced after its shard.
        self._share = int(psutil.virtual_memory().total * 0.5 / workers)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
        self._children = [Child(environment) for _ in range(workers)]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._children:
            self._idle.put(child)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    def submit(self, job: Job) -> Future[Receipt]:
        return self._threads.submit(self._call, job)

    def _call(self, job: Job) -> Receipt:
        child = self._idle.get()  # there are as many threads as children
        try:
            return cast("Receipt", child.call(_RUN_JOB, job))
        except ChildFailedError as error:
            fatal = _FATAL.get(error.type_name)
            if fatal is not None:
                raise fatal(error.message) from error
            raise JobFailedError(error.type_name, error.message, error.traceback_text) from error
        except ChildCrashedError as error:
            raise JobFailedError("worker crashed", str(error), str(error)) from error
        finally:
            if child.pid is not None and child.rss_bytes() > self._share:
                child.close()
            self._idle.put(child)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.kill()
        self._threads.shutdown(wait=True)


def executor(wanted: int, jobs: int) -> Executor:
    """The executor for a number of jobs.

    Args:
        wanted: worker processes; 1 = none, in this process; 0 = one per core this process may use.
    """
    if wanted == 1:
        return InProcess()
    return ProcessPool(_worker_count(wanted, jobs))


def _worker_count(wanted: int, jobs: int) -> int:
    """As asked, or one per core this process may use; never more than jobs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(wanted or cores or 1, jobs))
