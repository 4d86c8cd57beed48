"""Shards built on clusters of Dask and of Ray: what comes out, what is lost, what is told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from tasks.engine.errors import CancelledError, ClusterError, OutputError, ShardError, StoreError
from tasks.engine.progress import NullListener
from tasks.engine.run.build import build
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards import adoption, dask_cluster
from tasks.engine.shards.cluster_worker import Errand, here
from tasks.engine.shards.installation import installation
from tasks.engine.shards.job import Job
from tasks.engine.shards.place import Place, executor
from tasks.engine.shards.unit import Emitted, RowsIn, Unit
from tasks.engine.shards.unit_files import unit_of
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tests.processes import alive_after
from tests.tasks.engine.small_chain import (
    READ,
    ReadConfig,
    planner,
    read_externals,
    read_lines,
    write_corpus,
)
from tests.tasks.engine.test_build import data_ids
from tests.tasks.engine.test_elsewhere import receipts

WORKERS = 2


class PacedConfig(ReadConfig):
    """What happens in shards on the way; none of it is in the outputs."""

    journal: str = ""
    seconds: float = 0.0
    says: str = ""
    fails: str = ""


def paced(unit: Unit, journal: str, seconds: float, says: str, fails: str) -> Iterator[Emitted]:
    """The lines of a file; the journal has when it began and ended, and in which process."""
    note(journal, f"begins {unit.name} {os.getpid()}")
    time.sleep(seconds)
    if says:
        print(f"{says} {unit.name}")
    if fails == "by a fault":
        raise ValueError(f"nothing to be made of {unit.name}")
    if fails == "by its columns":
        yield "texts", pa.table({"other": [1]})
    if fails == "by its process" and unit.name.endswith("2.txt"):
        os.kill(os.getpid(), signal.SIGKILL)
    note(journal, f"ends {unit.name} {os.getpid()}")
    yield from read_lines(unit, 1)


def note(journal: str, line: str) -> None:
    if journal:
        with Path(journal).open("a") as stream:
            stream.write(f"{line}\n")


def run_paced(config: PacedConfig, inputs: Inputs, out: Out) -> None:
    what = {name: getattr(config, name) for name in ("journal", "seconds", "says", "fails")}
    out.map(paced, over=inputs.external["files"].items, arguments=what)


PACED = replace(READ, name="paced", config=PacedConfig, run=run_paced)


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def ray_here() -> Iterator[str]:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    place = executor(Place("ray", "", WORKERS), WORKERS)
    yield ""  # those of the tests are in the same process, and use it
    place.close()


@pytest.fixture(params=["dask", pytest.param("ray", marks=pytest.mark.long)])
def engine(request: pytest.FixtureRequest) -> dict[str, str]:
    """The fields of a config that say to build on a cluster of two workers."""
    fixture = {"dask": "dask_address", "ray": "ray_here"}[request.param]
    return {"executor": request.param, "cluster": request.getfixturevalue(fixture)}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", files=5)


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home"))


def order(corpus: Path, **fields: Any) -> BuildRequest:
    config = PacedConfig(paths=[str(corpus / "*.txt")], **fields)
    return BuildRequest(PACED, config, {}, read_externals(config))


def texts_id(artifact: Artifact) -> str:
    return artifact.data("texts").data_id


@pytest.fixture
def expected(tmp_path: Path, corpus: Path) -> str:
    """What these shards are in this process."""
    return texts_id(execute(order(corpus, workers=1), Store(str(tmp_path / "here"))).artifact)


def journal_of(tmp_path: Path, word: str) -> list[list[str]]:
    lines = [line.split() for line in (tmp_path / "journal").read_text().splitlines()]
    return [line for line in lines if line[0] == word]


def test_bytes_and_receipts_are_those_of_worker_processes(
    tmp_path: Path, corpus: Path, home: Store, engine: dict[str, str]
) -> None:
    there = build(planner(home, corpus, read=engine, shout=engine))
    pool = build(planner(Store(str(tmp_path / "pool")), corpus, shout={"workers": 2}))
    assert data_ids(there) == data_ids(pool)
    for stage in ("read", "shout"):
        assert receipts(there[stage].artifact) == receipts(pool[stage].artifact)
        assert there[stage].artifact.folder == pool[stage].artifact.folder, (
            "where it is built is not identity"
        )
    assert not [path for path in home.files("artifacts") if "/staging/" in path]


def test_what_a_shard_prints_and_fails_by_comes_back(
    corpus: Path, home: Store, engine: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ShardError) as told:
        execute(order(corpus, says="hello from", fails="by a fault", **engine), home)
    assert "ValueError" in str(told.value)
    assert "nothing to be made of" in str(told.value)
    assert "in paced" in str(told.value), "the traceback of the worker"
    assert "on the worker" in str(told.value)
    printed = capsys.readouterr()
    assert re.search(r"^file\d\.txt: hello from ", printed.err, re.MULTILINE)
    assert printed.out == ""


def test_what_no_second_try_mends_has_none(
    tmp_path: Path, corpus: Path, home: Store, engine: dict[str, str]
) -> None:
    journal = str(tmp_path / "journal")
    with pytest.raises(OutputError, match="texts"):
        execute(order(corpus, journal=journal, fails="by its columns", **engine), home)
    begun = [name for _, name, _ in journal_of(tmp_path, "begins")]
    assert len(begun) == len(set(begun))


def test_a_shard_that_kills_its_process_takes_no_worker_with_it(
    tmp_path: Path, corpus: Path, home: Store, engine: dict[str, str]
) -> None:
    journal = str(tmp_path / "journal")
    with pytest.raises(ShardError, match="worker crashed") as told:
        execute(order(corpus, journal=journal, fails="by its process", **engine), home)
    assert "SIGKILL" in str(told.value)
    begun = [name for _, name, _ in journal_of(tmp_path, "begins")]
    assert max(begun.count(name) for name in begun) == 2, "as here: each shard is tried twice"


@pytest.mark.long
def test_a_worker_killed_in_the_middle_costs_a_second_try(
    tmp_path: Path, corpus: Path, home: Store, engine: dict[str, str], expected: str
) -> None:
    journal, killed = tmp_path / "journal", []

    def kill_one() -> None:
        while not journal.exists():
            time.sleep(0.05)
        pid = int(journal_of(tmp_path, "begins")[0][2])
        worker = psutil.Process(pid).parent()
        assert worker is not None
        killed.extend([worker.pid, pid])
        worker.kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    done = execute(order(corpus, journal=str(journal), seconds=0.5, **engine), home)
    killer.join()
    assert killed
    assert not alive_after(killed, seconds=2), "the shard went on without its worker"
    assert texts_id(done.artifact) == expected
    begun = [name for _, name, _ in journal_of(tmp_path, "begins")]
    assert set(begun) == {f"file{number}.txt" for number in range(5)}
    assert 6 <= len(begun) <= 7, "one shard is built again, or two if both were on that worker"
    assert done.artifact.manifest.totals.rejected == {}
    assert not [path for path in home.files("artifacts") if "/staging/" in path]


def test_as_many_shards_at_once_as_there_are_workers(
    tmp_path: Path, engine: dict[str, str], home: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = []
    chosen = adoption.executor

    def watched(place: Place, jobs: int) -> Any:
        found = chosen(place, jobs)
        submit, count = found.submit, [0]

        def counted(job: Job) -> Any:
            future = submit(job)
            count[0] += 1
            waiting.append(count[0])
            future.add_done_callback(lambda _: count.__setitem__(0, count[0] - 1))
            return future

        found.submit = counted
        return found

    monkeypatch.setattr(adoption, "executor", watched)
    corpus = write_corpus(tmp_path / "many", files=16)
    execute(order(corpus, journal=str(tmp_path / "journal"), seconds=0.1, **engine), home)
    running, most = 0, 0
    for line in (tmp_path / "journal").read_text().splitlines():
        running += 1 if line.startswith("begins") else -1
        most = max(most, running)
    assert most == WORKERS
    assert max(waiting) <= 2 * WORKERS


class Impatient(NullListener):
    """Cancels once a shard runs."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal

    def cancelled(self) -> bool:
        return self.journal.exists()


def test_a_cancelled_stage_leaves_nothing_running(
    tmp_path: Path, corpus: Path, home: Store, engine: dict[str, str]
) -> None:
    journal = tmp_path / "journal"
    started = time.monotonic()
    wanted = order(corpus, journal=str(journal), seconds=60.0, **engine)
    with pytest.raises(CancelledError):
        execute(wanted, home, listener=Impatient(journal))
    assert time.monotonic() - started < 30
    assert not alive_after([int(line[2]) for line in journal_of(tmp_path, "begins")], seconds=3)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_cluster_of_this_machine_ends_with_a_killed_run(
    tmp_path: Path, corpus: Path, kind: str
) -> None:
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[kind], reason="not installed")
    program = (
        "import sys; from pathlib import Path; from tests.tasks.engine import test_clusters as t; "
        "from tasks.engine.run.execute import execute; from tasks.engine.store.store import Store; "
        "execute(t.order(Path(sys.argv[1]), journal=sys.argv[2], seconds=60.0, workers=2, "
        "executor=sys.argv[4]), Store(sys.argv[3]))"
    )
    journal = tmp_path / "journal"
    places = [str(corpus), str(journal), str(tmp_path / "home"), kind]
    run = subprocess.Popen(
        [sys.executable, "-c", program, *places],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not journal.exists():
        assert run.poll() is None, "the run ended before a shard began"
        time.sleep(0.1)
    children = psutil.Process(run.pid).children(recursive=True)
    # Two helpers of Ray look for a minute for the server that is gone; nothing runs on them.
    pids = [child.pid for child in children if not " ".join(child.cmdline()).endswith("Agent")]
    run.kill()
    run.wait()
    assert len(pids) > 2
    assert not alive_after(pids, seconds=10)


def test_a_worker_of_another_installation_builds_nothing(tmp_path: Path, home: Store) -> None:
    other = {**installation(), "code": "of last week", "pyarrow": "1.0"}
    ended = here(Errand(a_job(home, tmp_path), other, 1))
    with pytest.raises(
        ClusterError, match=r"has code .* and not of last week, pyarrow .* not 1\.0"
    ):
        ended.result()


def test_a_worker_that_does_not_see_the_home_says_so(tmp_path: Path) -> None:
    home = Store(str(tmp_path / "empty"))
    with pytest.raises(StoreError, match=r"does not see the home .*empty: take a folder"):
        here(Errand(a_job(home, tmp_path), installation(), 1)).result()


def a_job(home: Store, tmp_path: Path) -> Job:
    corpus = write_corpus(tmp_path / "one", files=1)
    (item,) = read_externals(ReadConfig(paths=[str(corpus / "*.txt")]))["files"].items
    function = f"{read_lines.__module__}:read_lines"
    schemas = {name: output.schema for name, output in READ.outputs.items()}
    staging = "artifacts/paced/none/0001/staging/shards"
    return Job(
        function, unit_of(item, None), {"shortest": 1}, schemas, home.address, staging, "p", "0"
    )


def test_what_a_shard_says_it_read_is_counted(tmp_path: Path, home: Store) -> None:
    (tmp_path / "home" / "artifacts/paced/none/0001/staging").mkdir(parents=True)
    job = a_job(home, tmp_path)
    assert here(Errand(job, installation(), 1)).result().rows_in == 7
    assert RowsIn(7) in list(read_lines(Unit("file0.txt", tmp_path / "one/file0.txt", None, ""), 1))


def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 0.5)
    with pytest.raises(
        ClusterError, match=r"no scheduler of Dask answers at tcp://127\.0\.0\.1:1 "
    ):
        executor(Place("dask", "tcp://127.0.0.1:1", 0), 3)


@pytest.mark.parametrize(("kind", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed(
    kind: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ClusterError, match=rf"pip install .* '\.\[{kind}\]'"):
        executor(Place(kind, "", 2), 3)


def test_an_address_needs_an_engine() -> None:
    with pytest.raises(ValueError, match="set executor to dask or ray"):
        PacedConfig(cluster="tcp://somewhere:8786")
