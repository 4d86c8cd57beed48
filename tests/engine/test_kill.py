"""What is left when a run is killed, and how the next one goes on from it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.engine import parts
from tasks.engine.artifact import recipe_folder
from tasks.engine.build import build
from tasks.engine.errors import LeaseLostError, StoreFullError
from tasks.engine.lease import Lease, holder
from tasks.engine.store import Store
from tests.engine.small_chain import planner, write_corpus
from tests.engine.test_build import data_ids, ran
from tests.processes import alive_after


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", files=8)


def start(home: Path, corpus: Path, workers: int = 2, delay: float = 0.5, **env: str) -> Any:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.engine.kill_runner", str(home), str(corpus)),
            *(str(workers), env.pop("ttl", "60")),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SHOUT_DELAY": str(delay),
            **env,
        },
    )


def lines(process: Any) -> Iterator[dict[str, Any]]:
    for line in process.stdout:
        yield json.loads(line)


def killed_in_the_middle(home: Path, corpus: Path, workers: int = 2) -> tuple[int, list[int]]:
    """Start a run, kill -9 it when three shards of `shout` are done; shards done, children."""
    process = start(home, corpus, workers)
    for line in lines(process):
        if line.get("stage") == "shout" and line.get("done") == 3:
            break
    children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    receipts = list(home.glob("artifacts/shout/*/0001/receipts/*.json"))
    return len(receipts), children


def test_rerun_after_kill_builds_the_missing_shards_only(tmp_path: Path, corpus: Path) -> None:
    done, children = killed_in_the_middle(tmp_path / "home", corpus)
    assert 3 <= done < 8
    assert children, "the shards ran in worker processes"
    assert not alive_after(children, seconds=2), "a worker outlived its parent by 2 s"

    store = Store(str(tmp_path / "home"))
    again = build(planner(store, corpus))
    timings = again["shout"].artifact.manifest.timings
    assert timings.shards_adopted == done
    assert timings.shards_built == 8 - done
    undisturbed = build(planner(Store(str(tmp_path / "other")), corpus))
    assert data_ids(again) == data_ids(undisturbed)


def test_two_runs_at_once_build_it_once(tmp_path: Path, corpus: Path) -> None:
    journal = tmp_path / "journal"
    runs = [start(tmp_path / "home", corpus, 1, 0.1, SHOUT_JOURNAL=str(journal)) for _ in range(2)]
    cached = []
    for process in runs:
        cached.append([line["cached"] for line in lines(process) if "cached" in line])
        assert process.wait() == 0
    assert sorted(journal.read_text().split()) == sorted(set(journal.read_text().split()))
    assert [sorted(states) for states in zip(*cached, strict=True)] == [[False, True]] * 3


def test_lease_of_a_live_holder_is_respected_and_taken_over_after_expiry(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with Lease(store, "lease", time_to_live=0.8) as stopped:
        stopped._stop.set()  # its heartbeat stops, as of a process that hangs
        took = time.monotonic()
        # The holder is this very process, alive: only the clock can end its lease.
        with Lease(store, "lease", time_to_live=60) as successor:
            assert time.monotonic() - took >= 0.5
            successor.check()
            with pytest.raises(LeaseLostError, match="taken over by process"):
                stopped.check()


def test_lease_of_a_killed_process_on_this_machine_is_free_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, time; from tasks.engine.lease import Lease; from tasks.engine.store import"
        " Store; lease = Lease(Store(sys.argv[1]), 'lease'); lease.__enter__(); print('held',"
        " flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    store = Store(str(tmp_path))
    held = holder(store, "lease")
    assert held is not None
    assert not held.free()
    process.kill()
    process.wait()
    assert held.free()


def test_only_one_of_many_takes_a_lease(tmp_path: Path) -> None:
    store, inside, most = Store(str(tmp_path)), [0], [0]

    def work() -> None:
        with Lease(store, "lease"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


def test_full_disk_publishes_nothing(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "home"))

    class Full(parts.pq.ParquetWriter):
        def write_table(self, *args: Any, **kwargs: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parts.pq, "ParquetWriter", Full)
        with pytest.raises(StoreFullError, match=r"nothing was published.*ingot gc"):
            build(planner(store, corpus))
    assert not list(Path(store.root).rglob("manifest.json"))
    assert ran(build(planner(store, corpus))) == {"read", "shout", "count"}


def test_holder_that_lost_its_lease_does_not_publish(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "home"))
    plan = planner(store, corpus)
    order = plan.order("read")
    folder = recipe_folder("read", order.recipe_id)

    def usurped(self: Store, path: str, data: bytes, original: Any = Store.replace) -> None:
        original(self, path, data)
        if "/schemas/texts" in path:
            current = holder(self, f"{folder}/lease")
            assert current is not None
            record = {**current.record, "holder": "another"}
            self.create(
                f"{folder}/lease/{current.number + 1:06d}.json", json.dumps(record).encode()
            )

    monkeypatch.setattr(Store, "replace", usurped)
    with pytest.raises(LeaseLostError):
        build(plan)
    assert not list(Path(store.root).rglob("manifest.json"))
