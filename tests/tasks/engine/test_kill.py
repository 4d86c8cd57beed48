"""What is left when a run is killed, and how the next one resumes from it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.engine.errors import CancelledError, LeaseLostError, StoreFullError
from tasks.engine.run.build import build
from tasks.engine.shards import parts
from tasks.engine.store.artifact import build_folder
from tasks.engine.store.lease import Lease, holder
from tasks.engine.store.store import Store
from tests.processes import alive_after
from tests.tasks.engine.small_chain import planner, write_corpus
from tests.tasks.engine.test_build import data_ids, ran


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", files=8)


def start(home: Path, corpus: Path, workers: int = 2, delay: float = 0.5, **env: str) -> Any:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.tasks.engine.kill_runner", str(home), str(corpus)),
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


def test_lease_of_another_machine_is_respected_and_taken_over_after_expiry(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    far = Lease(store, "lease", time_to_live=0.8)
    far._record["boot"] = "of another machine"  # so that its process cannot be looked at
    with far as stopped:
        stopped._stop.set()  # its heartbeat stops, as of a process that hangs
        took = time.monotonic()
        with Lease(store, "lease", time_to_live=60) as successor:
            assert time.monotonic() - took >= 0.5
            successor.check()
            with pytest.raises(LeaseLostError, match="taken over by process"):
                stopped.check()


@contextlib.contextmanager
def held_by_another_process(folder: Path) -> Iterator[Any]:
    program = (
        "import sys, time; from tasks.engine.store.lease import Lease; "
        "from tasks.engine.store.store import Store; "
        "lease = Lease(Store(sys.argv[1]), 'lease'); lease.__enter__(); print('held',"
        " flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("clock", [3600.0, -3600.0, 366 * 86_400.0])
def test_no_clock_takes_a_lease_from_a_living_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: float
) -> None:
    """A clock that jumps, or a machine that slept: the date moves, and with it that of the boot."""
    store, now, boot = Store(str(tmp_path)), time.time, psutil.boot_time()
    with held_by_another_process(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)  # no heartbeat repairs the impression
        monkeypatch.setattr(time, "time", lambda: now() + clock)
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot + clock, raising=False)
        monkeypatch.setattr(psutil._pslinux, "BOOT_TIME", boot + clock, raising=False)
        held = holder(store, "lease")
        assert held is not None
        assert not held.free()
        waits: list[str] = []
        lease = Lease(store, "lease", 60.0, lambda it: waits.append(str(it)), lambda: bool(waits))
        with pytest.raises(CancelledError, match=f"waiting for process {process.pid}"):
            lease.__enter__()
        process.kill()
        process.wait()
        assert held.free()


def test_a_hostname_that_changes_is_no_other_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_by_another_process(tmp_path) as process:
        monkeypatch.setattr(socket, "gethostname", lambda: "after-the-train-journey")
        held = holder(Store(str(tmp_path)), "lease")
        assert held is not None
        assert held.record["host"] != socket.gethostname()
        assert not held.free()
        process.kill()
        process.wait()
        assert held.free(), "its process is gone, whatever the machine is called"


def test_a_lease_that_could_not_be_released_does_not_bind_its_own_process(tmp_path: Path) -> None:
    class Gone(Store):
        away = False

        def replace(self, path: str, data: bytes) -> None:
            if self.away:
                raise ConnectionError("the store is away")
            super().replace(path, data)

    store = Gone(str(tmp_path))

    def work() -> None:
        with Lease(store, "lease"):
            store.away = True
            raise ValueError("the work's own error")

    with pytest.raises(ValueError, match="the work's own") as told:
        work()
    assert "could not be released: the store is away" in told.value.__notes__[0]
    with Lease(Store(str(tmp_path)), "lease", cancelled=lambda: True) as successor:
        successor.check()


def test_lease_of_a_killed_process_on_this_machine_is_free_at_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with held_by_another_process(tmp_path) as process:
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
    request = plan.request("read")
    folder = build_folder("read", request.build_id)

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
