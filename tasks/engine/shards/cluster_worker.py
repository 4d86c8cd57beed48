"""Carrying a job out on a worker of a cluster, in a child process of that worker.

In a child, as here: workers of Dask have many threads, and what works on texts holds the
interpreter's lock; a document that crashes C code costs its child and not the worker, with all that
waits there; and what nobody waits for any more can be ended. The child dies with the worker.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import queue
from collections.abc import Callable
from dataclasses import dataclass

from llm.errors import traced
from llm.process.child import Child
from tasks.engine.errors import ClusterError, IngotError, StoreError
from tasks.engine.shards.ended import Ended, in_child
from tasks.engine.shards.executors import child_environment, memory_share
from tasks.engine.shards.installation import differences, installation
from tasks.engine.shards.job import Job, opened, run_job

_PRINTED = 20_000  # characters


@dataclass(frozen=True)
class Errand:
    """A job on its way to a worker.

    Attributes:
        installation: that of the run, which the worker must have.
        workers: how many share the memory of a machine; 0 = as many as it has cores.
    """

    job: Job
    installation: dict[str, str]
    workers: int


class _Hand:
    """A child that is told with each call who asks whether it is still wanted."""

    def __init__(self) -> None:
        self.unwanted: Callable[[], bool] = bool
        self.child = Child(child_environment(), lambda: self.unwanted())


_IDLE: queue.LifoQueue[_Hand] = queue.LifoQueue()  # as many as jobs ran here at once


def carry_out(errand: Errand, unwanted: Callable[[], bool]) -> Ended:
    """Run a job in a child of this process. May be called from threads.

    Args:
        unwanted: asked twice a second; once it is true the job is ended.
    """
    try:
        hand = _IDLE.get_nowait()
    except queue.Empty:
        hand = _Hand()
    hand.unwanted = unwanted
    share = memory_share(errand.workers or os.cpu_count() or 1)
    try:
        return in_child(hand.child, f"{__name__}:{here.__qualname__}", errand)
    finally:
        if hand.child.pid is not None and hand.child.rss_bytes() > share:
            hand.child.close()
        _IDLE.put(hand)


def here(errand: Errand) -> Ended:
    """Run a job in this process, keeping what it prints and what it fails by."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            _check(errand)
            ended = Ended(run_job(errand.job))
        except IngotError as error:
            ended = Ended(None, type(error).__name__, str(error))
        except Exception as error:  # noqa: BLE001 - any fault of a shard is reported by name
            said = traced(error, -6) or str(error)
            ended = Ended(None, type(error).__name__, str(error), f"on {_where()}:\n{said}")
    text = printed.getvalue()[-_PRINTED:]
    return Ended(ended.receipt, ended.kind, ended.message, ended.report, text)


def _check(errand: Errand) -> None:
    """That what is made here is what the run would make, and that it arrives.

    Raises:
        ClusterError: this is another installation.
        StoreError: the folder that is the home is not that of the run.
    """
    different = differences(errand.installation, installation())
    if different:
        raise ClusterError(
            f"{_where()} has {different}: install on every worker what this run has (the same "
            "commit, with requirements.lock), for example by one image"
        )
    job, store = errand.job, opened(errand.job.home)
    if store.local and not store.local_path(job.staging).parent.is_dir():
        raise StoreError(
            f"{_where()} does not see the home {job.home}: take a folder that every worker mounts "
            "at the same place, or an object store (INGOT_HOME=s3://bucket/prefix)"
        )


def _where() -> str:
    return f"the worker {os.getppid()} on {platform.node()}"
