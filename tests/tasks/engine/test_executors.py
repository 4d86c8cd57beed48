"""Where a job is carried out does not matter, and each is tried twice."""

from __future__ import annotations

import pickle
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from tasks.engine.errors import CancelledError, ShardError
from tasks.engine.identity.snapshot import Item
from tasks.engine.run.build import build
from tasks.engine.shards import adoption
from tasks.engine.shards.ended import JobFailedError
from tasks.engine.shards.job import Job, run_job
from tasks.engine.shards.receipt import Receipt
from tasks.engine.shards.run_jobs import run_jobs
from tasks.engine.shards.unit_files import unit_of
from tasks.engine.store.store import Store
from tests.tasks.engine.small_chain import planner, write_corpus
from tests.tasks.engine.test_build import data_ids


class Elsewhere:
    """Carries jobs out behind a wall that lets bytes through and nothing else.

    Args:
        faults: how often each job fails before it succeeds.
    """

    at_once = 2
    elsewhere = True

    def __init__(self, faults: int = 0) -> None:
        self._faults = faults
        self.tries: Counter[str] = Counter()
        self.closed = False

    def submit(self, job: Job) -> Future[Receipt]:
        self.tries[job.name] += 1
        future: Future[Receipt] = Future()
        if self.tries[job.name] <= self._faults:
            future.set_exception(JobFailedError("LostError", "the wall fell", "a long report"))
        else:
            receipt = pickle.dumps(run_job(pickle.loads(pickle.dumps(job))))
            future.set_result(pickle.loads(receipt))
        return future

    def close(self) -> None:
        self.closed = True


class Patient:
    """Ends no job before it has as many as it wants at once, or all that are left."""

    at_once = 3
    elsewhere = False

    def __init__(self, jobs: int) -> None:
        self.left = jobs
        self._running: list[Future[Receipt]] = []

    def submit(self, job: Job) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        self._running.append(future)
        assert len(self._running) <= self.at_once
        if len(self._running) == min(self.at_once, self.left):
            for ended in self._running:
                ended.set_result(a_receipt(job))
            self.left -= len(self._running)
            self._running = []
        return future

    def close(self) -> None:
        return


def a_job(number: int, tmp_path: Path) -> Job:
    unit = unit_of(Item(f"unit{number}", 0, "0" * 64, "nowhere"), 0)
    home, shard = str(tmp_path), f"{number:064}"
    return Job("nobody:calls", unit, {}, {}, home, "staging", unit.name, shard)


def a_receipt(job: Job) -> Receipt:
    return Receipt(
        shard_id=job.shard_id,
        unit=job.name,
        rows_in=0,
        files={},
        reasons={},
        notes={},
        seconds=0.0,
    )


def never() -> bool:
    return False


def with_executor(monkeypatch: pytest.MonkeyPatch, place: Elsewhere) -> None:
    monkeypatch.setattr(adoption, "executor", lambda _asked, _jobs: place)


def test_another_executor_makes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    here = build(planner(Store(str(tmp_path / "here")), corpus))
    place = Elsewhere()
    with_executor(monkeypatch, place)
    there = build(planner(Store(str(tmp_path / "there")), corpus))
    assert data_ids(here) == data_ids(there)
    assert place.closed
    assert sum(place.tries.values()) == 10, "five files, and what was read of them"


def test_a_job_that_fails_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus", files=3)
    place = Elsewhere(faults=1)
    with_executor(monkeypatch, place)
    done = build(planner(Store(str(tmp_path / "home")), corpus))
    assert done["read"].artifact.manifest.timings.shards_built == 3
    assert set(place.tries.values()) == {2}


def test_a_job_that_fails_twice_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus", files=3)
    place = Elsewhere(faults=2)
    with_executor(monkeypatch, place)
    with pytest.raises(ShardError, match=r"1 shard failed twice(.|\n)*LostError\na long rep"):
        build(planner(Store(str(tmp_path / "home")), corpus))
    assert place.closed


def test_no_more_jobs_are_submitted_than_are_wanted_at_once(tmp_path: Path) -> None:
    jobs = [a_job(number, tmp_path) for number in range(10)]
    done = list(run_jobs(jobs, Patient(len(jobs)), never))
    assert {job.name for job, _ in done} == {job.name for job in jobs}


def test_a_cancelled_run_submits_nothing_more(tmp_path: Path) -> None:
    jobs, place = [a_job(number, tmp_path) for number in range(10)], Patient(10)
    answers = iter([False, True])
    with pytest.raises(CancelledError, match="finished shards are kept"):
        list(run_jobs(jobs, place, lambda: next(answers)))
    assert place.left == len(jobs) - place.at_once
