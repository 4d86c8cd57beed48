"""Carrying out many jobs by an executor, each tried twice.

A job that failed is tried once more; then it is reported as failed, and the caller decides whether
the stage can bear it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from tasks.engine.errors import CancelledError, StoreFullError
from tasks.engine.shards.ended import JobFailedError
from tasks.engine.shards.executors import Executor
from tasks.engine.shards.job import Job, workplace
from tasks.engine.shards.receipt import Receipt
from tasks.engine.store.space import full, means_full

_TRIES = 2
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Failure:
    """Why a shard could not be built, after all tries."""

    kind: str
    message: str


def run_jobs(
    jobs: Iterable[Job], executor: Executor, cancelled: Callable[[], bool]
) -> Iterator[tuple[Job, Receipt | Failure]]:
    """Run every job, yielding each as it ends, in whatever order that is.

    Raises:
        CancelledError: `cancelled()` became true between two results.
        IngotError: an error that no retry can mend (no space, damaged input, wrong columns).
    """
    waiting = deque((job, 1) for job in jobs)
    running: dict[Future[Receipt], tuple[Job, int]] = {}
    while waiting or running:
        if cancelled():
            raise CancelledError("cancelled; finished shards are kept")
        while waiting and len(running) < executor.at_once:
            job, number = waiting.popleft()
            running[executor.submit(job)] = (job, number)
        ended, _ = wait(running, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
        # Those that succeeded first: what another one failed by may end the run.
        for future in sorted(ended, key=lambda ended: ended.exception() is not None):
            job, number = running.pop(future)
            outcome = _outcome(future, job)
            if isinstance(outcome, Failure) and number < _TRIES:
                waiting.appendleft((job, number + 1))
            else:
                yield job, outcome


def _outcome(future: Future[Receipt], job: Job) -> Receipt | Failure:
    try:
        return future.result()
    except JobFailedError as error:
        # A full disk is no fault of the shard: its rows must not end up as rejected.
        if means_full(str(error)):
            raise StoreFullError(f"{full(workplace(job))} ({error})") from error
        return Failure(error.kind, error.report)
