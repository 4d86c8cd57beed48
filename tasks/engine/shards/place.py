"""Where the shards of a stage are built, as its execution config says."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tasks.engine.config import StageConfig
from tasks.engine.shards.executors import Executor, InProcess, ProcessPool


@dataclass(frozen=True)
class Place:
    """What was asked for.

    Attributes:
        executor: `processes`, `dask` or `ray`.
        cluster: address of a cluster; "" = on this machine.
        workers: worker processes; 1 of `processes` = none, in this one; 0 = one per core this
            process may use, or all that a cluster elsewhere has.
    """

    executor: str
    cluster: str
    workers: int


def place_of(config: StageConfig) -> Place:
    """As a stage's config says; of one without these fields, in this process."""
    return Place(
        executor=getattr(config, "executor", "processes"),
        cluster=getattr(config, "cluster", ""),
        workers=int(getattr(config, "workers", 1)),
    )


def executor(place: Place, jobs: int) -> Executor:
    """The executor for a number of jobs.

    Raises:
        ClusterError: there is no such cluster.
    """
    workers = place.workers if place.cluster else worker_count(place.workers, jobs)
    # Of a cluster nothing is imported before it is asked for: each is an extra.
    if place.executor == "dask":
        from tasks.engine.shards.dask_cluster import DaskCluster

        return DaskCluster(place.cluster, workers)
    if place.executor == "ray":
        from tasks.engine.shards.ray_cluster import RayCluster

        return RayCluster(place.cluster, workers)
    return InProcess() if place.workers == 1 else ProcessPool(workers)


def worker_count(wanted: int, jobs: int) -> int:
    """As asked, or one per core this process may use; never more than jobs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(wanted or cores or 1, jobs))
