"""A real disk that is full, and one that can only be read: small file systems of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.home import require_writable
from tasks.engine.errors import ReadOnlyStoreError, StoreFullError
from tasks.engine.run.build import build
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.stage.out import Out
from tasks.engine.store import channels
from tasks.engine.store.artifact import Inputs
from tasks.engine.store.lease import Lease, holder
from tasks.engine.store.store import Store
from tasks.engine.upkeep import gc
from tasks.engine.upkeep.verify import verify
from tests.tasks.engine.small_chain import REGISTRY, planner, write_corpus
from tests.tasks.engine.test_build import ran

SIZE = 3_000_000


class Disk:
    """A file system of 3 MB, mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def free(self) -> int:
        return os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize

    def fill(self, leave: int = 0) -> Path:
        """Write a file that leaves so many bytes, or none."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as stream:
            left = self.free() - leave
            while left > 0:
                try:
                    left -= stream.write(b"x" * min(left, 1 << 16))
                except OSError:
                    break
        return filler

    def read_only(self) -> None:
        mount("-o", "remount,ro", str(self.folder))


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if sys.platform != "linux":
        pytest.skip("file systems in memory are mounted on Linux alone")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", files=3)


def too_much(config: Any, inputs: Inputs, out: Out) -> None:
    """A stage that is not sharded, and half of whose model no disk of this size holds."""
    (out.folder("model") / "half.bin").write_bytes(os.urandom(SIZE // 3))
    (out.folder("model") / "rest.bin").write_bytes(os.urandom(SIZE))


def spilling(unit: Unit, mark: str, lose: bool, crash_on: str) -> Iterator[Emitted]:
    """A shard function that needs more room beside its part than there is."""
    with (unit.path.parent / "spill").open("wb", buffering=0) as stream:
        for _ in range(100):
            stream.write(b"x" * 100_000)
    yield "texts", unit.table()


def spill_run(config: Any, inputs: Inputs, out: Out) -> None:
    out.map(spilling, over="texts", arguments={"mark": "", "lose": False, "crash_on": ""})


def test_a_full_disk_is_told_and_what_nobody_can_use_goes(disk: Disk, corpus: Path) -> None:
    store = Store(str(disk.folder / "home"))
    big = {**REGISTRY, "count": replace(REGISTRY["count"], run=too_much)}
    with pytest.raises(StoreFullError) as told:
        build(planner(store, corpus, registry=big))
    assert f"no space left on {disk.folder}" in str(told.value)
    assert "free of 3.0 MB" in str(told.value)
    assert "`ingot gc` finds nothing to remove" in str(told.value)
    assert disk.free() > SIZE // 2, "half a model of no use was left"
    assert not list(disk.folder.rglob("half.bin"))
    assert ran(build(planner(store, corpus))) == {"count"}


def test_gc_frees_what_the_message_says(disk: Disk, corpus: Path) -> None:
    store = Store(str(disk.folder / "home"))
    build(planner(store, corpus, shout={"mark": "?"}))
    first = channels.resolve(store, "small", "shout")
    assert first is not None
    store.replace(f"{first.folder}/texts/ballast", b"x" * 500_000)
    build(planner(store, corpus))
    killed = f"{first.folder.rsplit('/', 2)[0]}/{'f' * 16}/0001/model/half.bin"
    store.replace(killed, b"x" * 700_000)  # of a run that was killed
    disk.fill()
    with pytest.raises(StoreFullError, match=r"gc --apply` would free 1\.2 MB; then run again"):
        build(planner(store, corpus, shout={"mark": "#"}))
    gc.remove(store, gc.collect(store, keep_last=1))
    assert disk.free() >= 1_200_000
    assert ran(build(planner(store, corpus, shout={"mark": "#"}))) == {"shout", "count"}


def test_what_a_stopped_run_would_go_on_from_is_no_advice_of_its_own(
    disk: Disk, corpus: Path
) -> None:
    store = Store(str(disk.folder / "home"))
    build(planner(store, corpus))
    first = channels.resolve(store, "small", "shout")
    assert first is not None
    store.replace(f"{first.folder.rsplit('/', 1)[0]}/scratch/step-15/model.bin", b"x" * 700_000)
    disk.fill()
    with pytest.raises(StoreFullError) as told:
        build(planner(store, corpus, shout={"mark": "#"}))
    assert "--unfinished` would free 700.0 kB, what stopped runs would go on" in str(told.value)
    assert "make room on that disk by other means" in str(told.value)


@pytest.mark.parametrize("left", [0, 1_000_000])
def test_a_command_that_writes_is_told_before_anything_is_started(
    disk: Disk, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(disk.folder))
    disk.fill(leave=left)
    with pytest.raises(StoreFullError, match=r"4\.0 MB needed.*finds nothing to remove: make room"):
        require_writable()
    assert [path.name for path in disk.folder.iterdir()] == ["filler"]


def test_a_disk_full_to_the_last_byte_leaves_no_lease_behind(disk: Disk, corpus: Path) -> None:
    store = Store(str(disk.folder / "home"))
    with Lease(store, "lease"):
        disk.fill()
    left = holder(store, "lease")
    assert left is None or left.free()
    filler = disk.fill()
    with pytest.raises(StoreFullError, match="no space left on"), Lease(store, "another"):
        pytest.fail("a lease without a file")
    filler.unlink()
    with Lease(store, "lease") as again:
        again.check()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_rejects_no_rows(disk: Disk, corpus: Path, workers: int) -> None:
    store = Store(str(disk.folder / "home"))
    build(planner(store, corpus))
    spill = {**REGISTRY, "shout": replace(REGISTRY["shout"], version=2, run=spill_run)}
    shout = {"workers": workers, "max_failed_shards": 9}
    with pytest.raises(StoreFullError, match="no space left on") as told:
        build(planner(store, corpus, registry=spill, shout=shout))
    assert "No space left on device" in str(told.value)


def test_a_home_to_be_read_only_is_read(disk: Disk, corpus: Path) -> None:
    store = Store(str(disk.folder / "home"))
    done = build(planner(store, corpus))
    texts = done["shout"].artifact.data("texts")
    damaged = texts.path(texts.parts[0])
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    disk.read_only()
    assert [row.status.value for row in planner(store, corpus).plan()] == ["fresh"] * 3
    assert ran(build(planner(store, corpus))) == set(), "all is there: nothing is written"
    assert verify(store, deep=False) == {}
    why: list[str] = []
    found = verify(store, deep=True, unmarked=lambda error: why.append(str(error)))
    assert list(found) == [done["shout"].artifact.folder]
    assert len(why) == 1
    assert "is read-only" in why[0]
    with pytest.raises(ReadOnlyStoreError, match=r"is read-only.*INGOT_HOME"):
        build(planner(store, corpus, shout={"mark": "?"}))
    with pytest.raises(ReadOnlyStoreError):
        channels.point(store, "small", done["shout"].artifact, channel="prod")


@pytest.mark.parametrize("full", [False, True])
def test_commands_end_in_a_line(disk: Disk, corpus: Path, full: bool) -> None:
    home = disk.folder / "home"
    Store(str(home))
    if full:
        disk.fill()
    else:
        disk.read_only()
    recipe = corpus / "mine.yaml"
    recipe.write_text(
        f"name: mine\nsource: {{sources: [{{name: a, paths: ['{corpus}/*.txt']}}]}}\n"
    )
    environment = {**os.environ, "INGOT_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PREFECT_API_URL", None)

    def ingot(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from flows.cli.main import main; main()", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    planned = ingot("plan", "-r", str(recipe))
    assert planned.returncode == 0, planned.stderr
    assert ingot("verify", "--deep").returncode == 0
    for command in ("run", "up"):
        done = ingot(command, "-r", str(recipe))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert ("no space left on" if full else "cannot be written") in done.stderr
    if not full:
        done = ingot("down")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "cannot be written" in done.stderr
