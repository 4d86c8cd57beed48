"""Jobs carried out on a cluster of Dask: one that runs somewhere, or one of this machine.

Dask runs a job again by itself when its worker is lost. That may happen while the first worker,
cut off, still builds it: parts get their names when they are whole, and both make the same bytes.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

from tasks.engine.errors import ClusterError
from tasks.engine.shards.cluster_worker import Errand, carry_out
from tasks.engine.shards.ended import CRASHED, Ended, deliver
from tasks.engine.shards.installation import installation
from tasks.engine.shards.job import Job
from tasks.engine.shards.receipt import Receipt

_CONNECT_SECONDS = 30.0
_ANSWER_SECONDS = 60.0  # to be sent a receipt that is there
_COUNT_AGAIN_SECONDS = 5.0


class DaskCluster:
    """Workers of Dask, each job in a child process of one (`cluster_worker.py`).

    Memory is bounded by their threads: as many jobs run at once, and as many more wait.

    Args:
        address: of a scheduler, `tcp://host:8786`; "" starts a cluster on this machine, which ends
            with this process.
        workers: of that cluster, or at most so many jobs at once; 0 = as many as the cluster has
            threads.

    Raises:
        ClusterError: Dask is not installed, or nobody answers there.
    """

    def __init__(self, address: str, workers: int) -> None:
        try:
            import distributed
        except ImportError as error:
            raise ClusterError(
                "executor: dask needs Dask's distributed, which is not installed: pip install "
                "--constraint requirements.lock --editable '.[dask]'"
            ) from error
        self.elsewhere = bool(address)
        self._workers = workers
        self._local: Any = None
        if not address:
            self._local = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=None,  # what needs memory are children, see `carry_out`
                silence_logs=50,
            )
        try:
            self._client = distributed.Client(
                self._local or address, timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(
                f"no scheduler of Dask answers at {address} ({error}); cluster is its address, "
                "such as tcp://host:8786"
            ) from error
        self._threads, self._counted = workers, 0.0
        self._running: set[Any] = set()
        self._closed, self._taking = False, threading.Lock()

    @property
    def at_once(self) -> int:
        """Twice the jobs that can run, which changes while a cluster grows and shrinks.

        One at least: a cluster that grows with what waits may have no worker yet.
        """
        now = time.monotonic()
        if self.elsewhere and now > self._counted + _COUNT_AGAIN_SECONDS:
            self._counted = now
            known = self._call(self._client.nthreads)
            self._threads = sum(known.values())
        threads = min(self._threads, self._workers or self._threads)
        return 2 * max(1, threads)

    def submit(self, job: Job) -> Future[Receipt]:
        errand = Errand(job, installation(), 0 if self.elsewhere else self._workers)
        theirs = self._call(
            partial(
                self._client.submit,
                build_shard,
                errand,
                key=f"{job.name}-{uuid.uuid4().hex}",
                pure=False,
            )
        )
        self._running.add(theirs)
        ours: Future[Receipt] = Future()
        theirs.add_done_callback(partial(self._take, job, ours))
        return ours

    def _take(self, job: Job, ours: Future[Receipt], theirs: Any) -> None:
        """Called by Dask, in the one thread it has for this: no client may close meanwhile."""
        with self._taking:
            self._running.discard(theirs)
            if not self._closed:
                self._take_open(job, ours, theirs)

    def _take_open(self, job: Job, ours: Future[Receipt], theirs: Any) -> None:
        from distributed import KilledWorker

        try:
            ended = theirs.result(timeout=_ANSWER_SECONDS)
        except KilledWorker as error:
            ended = Ended(None, CRASHED, str(error), str(error))
        except (CancelledError, TimeoutError) as error:
            gone = f"the scheduler of Dask is gone ({error}); `ingot run` goes on from here"
            ours.set_exception(ClusterError(gone))
            return
        except Exception as error:  # noqa: BLE001 - whatever Dask itself failed by
            ended = Ended(None, type(error).__name__, str(error), str(error))
        deliver(job.name, ended, ours)

    def _call(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            raise ClusterError(
                f"the scheduler of Dask does not answer any more ({error}); what was built is "
                "kept, and `ingot run` goes on from it"
            ) from error

    def close(self) -> None:
        with self._taking:
            self._closed = True
        running = list(self._running)
        try:
            if running:
                # Workers end what is not wanted any more, within half a second.
                self._client.cancel(running, force=True)
            self._client.close(timeout=5)
        finally:
            if self._local is not None:
                self._local.close(timeout=5)


def build_shard(errand: Errand) -> Ended:
    """What a worker of Dask calls, in one of its threads."""
    from distributed import get_worker
    from distributed.worker import thread_state

    states, key = get_worker().state.tasks, thread_state.key

    def unwanted() -> bool:
        task = states.get(key)
        return task is None or task.state in ("cancelled", "released", "forgotten")

    return carry_out(errand, unwanted)
