"""Jobs carried out on a cluster of Ray: one that runs somewhere, or one of this machine.

Ray is told to try nothing again: what its workers are lost by is reported, and `run_jobs.py` tries.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from tasks.engine.errors import ClusterError
from tasks.engine.shards.cluster_worker import Errand, carry_out
from tasks.engine.shards.ended import CRASHED, Ended, deliver
from tasks.engine.shards.installation import installation
from tasks.engine.shards.job import Job
from tasks.engine.shards.receipt import Receipt

_COUNT_AGAIN_SECONDS = 5.0
_OBJECTS_BYTES = 100_000_000  # jobs and receipts alone pass through Ray's memory


class RayCluster:
    """Workers of Ray, each job in a child process of one (`cluster_worker.py`).

    Memory is bounded by the cores they have: as many jobs run at once, and as many more wait.

    Args:
        address: `auto`, `host:6379` or `ray://host:10001`; "" starts a cluster on this machine,
            which ends with this process.
        workers: of that cluster, or at most so many jobs at once; 0 = as many as the cluster has
            cores.

    Raises:
        ClusterError: Ray is not installed, or nobody answers there.
    """

    def __init__(self, address: str, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers
        try:
            import ray
        except ImportError as error:
            raise ClusterError(
                "executor: ray needs Ray, which is not installed: pip install --constraint "
                "requirements.lock --editable '.[ray]'"
            ) from error
        self._ray: Any = ray
        self.elsewhere = bool(address)
        self._workers = workers
        here = {
            "num_cpus": workers,
            "object_store_memory": _OBJECTS_BYTES,
            "include_dashboard": False,
        }
        # Ray has one cluster a process: that of another stage of this run is used too.
        self._ours = not ray.is_initialized()
        if self._ours:
            with _signals_kept():
                try:
                    ray.init(
                        address or "local",
                        **({} if address else here),
                        log_to_driver=False,  # what a shard prints comes back with its receipt
                        configure_logging=False,
                    )
                except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                    raise ClusterError(
                        f"no cluster of Ray answers at {address or 'this machine'} ({error}); "
                        "cluster is its address, such as ray://host:10001, or auto on one of its "
                        "machines"
                    ) from error
        self._remote = ray.remote(num_cpus=1, max_retries=0)(build_shard)
        self._cores, self._counted = workers, 0.0
        self._running: dict[Future[Receipt], Any] = {}

    @property
    def at_once(self) -> int:
        """Twice the jobs that can run, which changes while a cluster grows and shrinks.

        One at least: a cluster that grows with what waits may have no worker yet.
        """
        now = time.monotonic()
        if self.elsewhere and now > self._counted + _COUNT_AGAIN_SECONDS:
            self._counted = now
            with self._answers():
                self._cores = int(self._ray.cluster_resources().get("CPU", 0))
        cores = min(self._cores, self._workers or self._cores)
        return 2 * max(1, cores)

    def submit(self, job: Job) -> Future[Receipt]:
        workers = 0 if self.elsewhere else self._workers
        ours: Future[Receipt] = Future()
        with self._answers():
            theirs = self._remote.remote(Errand(job, installation(), workers))
            self._running[ours] = theirs
            theirs.future().add_done_callback(partial(self._take, job, ours))
        return ours

    def _take(self, job: Job, ours: Future[Receipt], theirs: Future[Ended]) -> None:
        """Called by Ray, in a thread of its own."""
        lost = (
            self._ray.exceptions.WorkerCrashedError,
            self._ray.exceptions.OutOfMemoryError,
            self._ray.exceptions.NodeDiedError,
        )
        self._running.pop(ours, None)
        error = theirs.exception()
        if error is None:
            ended = theirs.result()
        else:
            kind = CRASHED if isinstance(error, lost) else type(error).__name__
            ended = Ended(None, kind, str(error), str(error))
        deliver(job.name, ended, ours)

    @contextlib.contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except (self._ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise ClusterError(
                f"the cluster of Ray does not answer any more ({error}); what was built is kept, "
                "and `ingot run` goes on from it"
            ) from error

    def close(self) -> None:
        for theirs in list(self._running.values()):
            with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(theirs, force=True)
        if self._ours:
            self._ray.shutdown()


def build_shard(errand: Errand) -> Ended:
    """What a worker of Ray calls; one that is cancelled is ended, and its child with it."""
    return carry_out(errand, bool)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM over, which asks a run to stop in order (flows know how)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
