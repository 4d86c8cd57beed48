from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.engine.identity import memory
from tasks.engine.identity.memory import Memory


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ingot" / "sizes.jsonl"


class Measure:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, path: Path) -> list[int]:
        self.asked += 1
        return [len(path.read_bytes())]


def test_a_file_is_looked_at_once_until_it_changes(tmp_path: Path, cache: Path) -> None:
    file, measure = tmp_path / "file", Measure()
    file.write_text("four")
    for _ in range(2):
        known = Memory("sizes")
        assert known.recall(file, measure) == [4]
        known.keep()
    assert measure.asked == 1
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert Memory("sizes").recall(file, measure) == [4]
    assert measure.asked == 2
    file.write_text("seven..")
    assert Memory("sizes").recall(file, measure) == [7]


def test_bytes_changed_behind_the_same_size_and_time_are_seen(tmp_path: Path) -> None:
    def read(path: Path) -> str:
        return path.read_text()

    file, known = tmp_path / "file", Memory("texts")
    file.write_text("one")
    before = file.stat()
    times = (before.st_atime_ns, before.st_mtime_ns)
    assert known.recall(file, read) == "one"
    file.write_text("two")
    os.utime(file, ns=times)
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of the file system ticks
        os.utime(file, ns=times)
    assert known.recall(file, read) == "two"
    (tmp_path / "other").write_text("six")
    os.utime(tmp_path / "other", ns=times)
    (tmp_path / "other").replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (3, before.st_mtime_ns)
    assert known.recall(file, read) == "six"


def test_a_damaged_memory_costs_time_alone(tmp_path: Path, cache: Path) -> None:
    files = [tmp_path / name for name in ("one", "other")]
    for file in files:
        file.write_text(file.name)
        known = Memory("sizes")
        known.recall(file, Measure())
        known.keep()
    cache.write_text('["cut' + "\n[1, 2]\n" + cache.read_text()[:-5])
    memory._READ.clear()  # as a process that begins now
    measure = Measure()
    assert [Memory("sizes").recall(file, measure) for file in files] == [[3], [5]]
    assert measure.asked == 1


def test_a_cache_folder_that_is_a_file_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    known = Memory("sizes")
    assert known.recall(Path(__file__), Measure())[0] > 0
    known.keep()


def test_it_does_not_grow_for_ever(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_SPARE_LINES", 3)
    file = tmp_path / "file"
    for number in range(40):
        file.write_text("x" * number)
        known = Memory("sizes")
        assert known.recall(file, Measure()) == [number]
        known.keep()
    assert len(cache.read_text().splitlines()) <= 7


def test_what_another_process_wrote_meanwhile_is_known(tmp_path: Path, cache: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("one")
    two.write_text("two")
    first = Memory("sizes")
    first.recall(one, size)
    first.keep()
    before = cache.read_text()
    assert Memory("sizes").recall(one, never) == 3  # read once, and again from what was read
    assert Memory("sizes").recall(one, never) == 3
    told = memory._line(str(two.resolve()), memory._stamp(two.stat()), 3)
    cache.write_text(before + told)
    assert Memory("sizes").recall(two, never) == 3


def test_a_line_that_is_being_written_is_read_once_it_is_whole(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("one")
    line = memory._line(str(file.resolve()), memory._stamp(file.stat()), 3)
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.open("a") as stream:
        stream.write(line[:20])
        stream.flush()
        assert Memory("sizes").recall(file, lambda path: 4) == 4
        stream.write(line[20:])
    assert Memory("sizes").recall(file, never) == 3


def size(path: Path) -> int:
    return path.stat().st_size


def never(path: Path) -> int:
    raise AssertionError(f"{path} was computed again")
