"""Rows that one map keeps for the next: given to it, private, and there after whatever end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llm.tables import DOC_ID
from tasks.engine.declare import Conservation, Output
from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards.gathering import gather_units
from tasks.engine.shards.intermediate import IntermediateWriter, KeptRows
from tasks.engine.shards.unit import Emitted, Kept, RowsIn, Unit
from tasks.engine.shards.unit_files import unit_of
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.engine.upkeep import gc
from tests.tasks.engine.small_chain import (
    READ,
    TEXTS,
    ReadConfig,
    read_externals,
    read_lines,
    write_corpus,
)

FILES = 6
ANYTHING = pa.schema([pa.field("line", pa.string()), pa.field("length", pa.int64())])
COUNTS = pa.schema([DOC_ID, pa.field("lines", pa.int64())])


def read_file(path: Path) -> list[str]:
    with Path(os.environ["READ_JOURNAL"]).open("a") as journal:
        journal.write(f"{path.name}\n")
    return path.read_text().splitlines()


def count_lines(unit: Unit) -> Iterator[Emitted]:
    for file in unit.files():
        lines = read_file(file.path)
        yield "counts", pa.table([[file.name], [len(lines)]], schema=COUNTS)
        for line in lines:
            yield Kept(file.name, pa.table([[line], [len(line)]], schema=ANYTHING))


def take_lines(unit: Unit, stop_at: str) -> Iterator[Emitted]:
    if unit.kept is None:
        lines = read_file(unit.path)
    else:
        assert not unit.path.is_file(), "what is not read again is not opened"
        lines = [line for table in unit.kept.tables() for line in table["line"].to_pylist()]
    trap = Path(os.environ["READ_JOURNAL"]).with_name("trap")
    if stop_at and stop_at in unit.name and trap.exists():
        if trap.read_text() == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("trapped")
    ids = [f"{unit.name}:{line}" for line in lines]
    yield RowsIn(len(lines))
    yield "texts", pa.table([ids, lines], schema=TEXTS)


def run_once(config: ReadConfig, inputs: Inputs, out: Out) -> None:
    items = inputs.external["files"].items
    out.map(count_lines, over=items, gather=True)
    out.map(take_lines, over=items, arguments={"stop_at": "file3"}, from_kept=True)


ONCE = replace(
    READ,
    name="once",
    outputs={
        "texts": Output("Lines.", TEXTS, unique_ids=True),
        "counts": Output("How many a file.", COUNTS),
    },
    run=run_once,
    conservation=Conservation(None, kept="texts"),
)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("READ_JOURNAL", str(tmp_path / "journal"))
    return write_corpus(tmp_path / "corpus", FILES)


def request(corpus: Path, stage: Any = ONCE) -> BuildRequest:
    config = ReadConfig(paths=[str(corpus / "*.txt")], workers=1)
    return BuildRequest(stage, config, {}, read_externals(config))


def reads(corpus: Path) -> list[str]:
    """Files in the order they were read in since this was last asked."""
    journal = corpus.with_name("journal")
    found = journal.read_text().split() if journal.exists() else []
    journal.unlink(missing_ok=True)
    return found


def intermediate(store: Store) -> list[str]:
    return [path for path in store.files("artifacts") if "/intermediate/" in path]


def lines_of(artifact: Artifact) -> list[str]:
    texts: list[str] = artifact.data("texts").table()["text"].to_pylist()
    return texts


ALL = [f"line {line} of file {number}" for number in range(FILES) for line in range(7)]
EVERY = [f"file{number}.txt" for number in range(FILES)]


@pytest.mark.parametrize("url", ["{path}", "memory://kept"])
def test_the_next_map_is_given_what_was_kept_and_reads_nothing(
    tmp_path: Path, corpus: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    store = Store(url.format(path=tmp_path / "home"))
    made = execute(request(corpus), store).artifact
    assert reads(corpus) == EVERY
    assert lines_of(made) == ALL
    assert intermediate(store) == [], "it is private to the attempt"
    names = store.names(f"{made.folder}/receipts")
    assert not [
        name for name in names if b"intermediate" in store.read(f"{made.folder}/receipts/{name}")
    ]
    assert set(made.manifest.outputs) == {"texts", "counts"}


def test_a_file_of_which_nothing_was_kept_is_read(tmp_path: Path, corpus: Path) -> None:
    store = Store(str(tmp_path / "home"))
    made = execute(request(corpus), store).artifact
    for name in store.names(f"{made.folder}/receipts"):
        receipt = store.read_json(f"{made.folder}/receipts/{name}")
        if receipt["unit"] == "file2.txt":
            store.remove(f"{made.folder}/receipts/{name}")
    store.remove(f"{made.folder}/manifest.json")
    reads(corpus)
    assert lines_of(execute(request(corpus), store).artifact) == ALL
    assert reads(corpus) == ["file2.txt"], "its counts were adopted, its lines were not kept"


def test_a_run_that_failed_is_gone_on_with_and_nothing_is_read_again(
    tmp_path: Path, corpus: Path
) -> None:
    store, trap = Store(str(tmp_path / "home")), tmp_path / "trap"
    trap.write_text("raise")
    for tries in range(2):
        with pytest.raises(Exception, match="trapped"):
            execute(request(corpus), store)
        assert reads(corpus) == ([] if tries else EVERY)
        assert intermediate(store), "the next attempt goes on from it"
        assert gc.collect(store, keep_last=1) == []
    trap.unlink()
    made = execute(request(corpus), store).artifact
    assert reads(corpus) == []
    assert lines_of(made) == ALL
    assert not [path for path in intermediate(store) if path.startswith(made.folder)]
    gc.remove(store, gc.collect(store, keep_last=1))
    assert intermediate(store) == []


def test_killed_in_the_next_map_it_reads_nothing_again(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "trap").write_text("kill")
    program = (
        "import sys; from pathlib import Path; from tasks.engine.store.store import Store; "
        "from tasks.engine.run.execute import execute; "
        "from tests.tasks.engine.test_intermediate import request; "
        "execute(request(Path(sys.argv[2])), Store(sys.argv[1]))"
    )
    for tries in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "home"), str(corpus)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        assert reads(corpus) == ([] if tries else EVERY)
    (tmp_path / "trap").unlink()
    made = execute(request(corpus), Store(str(tmp_path / "home"))).artifact
    assert reads(corpus) == []
    assert lines_of(made) == ALL
    undisturbed = execute(request(corpus), Store(str(tmp_path / "other"))).artifact
    for output in ONCE.outputs:
        assert made.data(output).data_id == undisturbed.data(output).data_id


def test_what_was_kept_and_is_damaged_is_read_again(tmp_path: Path, corpus: Path) -> None:
    store, trap = Store(str(tmp_path / "home")), tmp_path / "trap"
    trap.write_text("raise")
    with pytest.raises(Exception, match="trapped"):
        execute(request(corpus), store)
    reads(corpus)
    (kept,) = [path for path in intermediate(store) if path.endswith(".arrow")]
    wounded = store.local_path(kept)
    content = bytearray(wounded.read_bytes())
    content[len(content) // 2] ^= 1
    wounded.write_bytes(content)
    trap.unlink()
    assert lines_of(execute(request(corpus), store).artifact) == ALL
    assert reads(corpus) == EVERY[3:], "those before were finished"


def test_what_other_code_kept_is_left(tmp_path: Path, corpus: Path) -> None:
    store, trap = Store(str(tmp_path / "home")), tmp_path / "trap"
    trap.write_text("raise")
    with pytest.raises(Exception, match="trapped"):
        execute(request(corpus), store)
    reads(corpus)
    for path in [path for path in store.files("artifacts") if "/receipts/" in path]:
        receipt = {**store.read_json(path), "code": "of another version"}
        store.replace(path, json.dumps(receipt).encode())
    trap.unlink()
    assert lines_of(execute(request(corpus), store).artifact) == ALL
    assert reads(corpus) == EVERY[3:]


def test_bytes_that_change_meanwhile_are_noticed(tmp_path: Path) -> None:
    rows = pa.table([["a", "b"], [1, 2]], schema=ANYTHING)
    writer = IntermediateWriter(tmp_path / "kept.arrow", {"one": "1" * 64, "two": "2" * 64})
    for name in ("one", "two", "one"):
        writer.write(name, rows)
    written = writer.close()
    assert written is not None
    found = {
        file.name: KeptRows(tmp_path / "kept.arrow", written.digest, file.slices)
        for file in written.files
    }
    assert [pa.concat_tables(kept.tables()).num_rows for kept in found.values()] == [4, 2]
    with (tmp_path / "other.arrow").open("wb") as other:
        other.write((tmp_path / "kept.arrow").read_bytes()[:-1] + b"?")
    changed = replace(found["two"], path=tmp_path / "other.arrow")
    with pytest.raises(DamagedArtifactError, match=r"other\.arrow: not the bytes"):
        list(changed.tables())


def keep_of_another(unit: Unit) -> Iterator[Emitted]:
    yield from read_lines(unit, 1)
    yield Kept("another.txt", pa.table([["x"], [1]], schema=ANYTHING))


def test_rows_of_a_file_the_shard_does_not_read_are_refused(tmp_path: Path, corpus: Path) -> None:
    def run(config: ReadConfig, inputs: Inputs, out: Out) -> None:
        out.map(keep_of_another, over=inputs.external["files"].items)

    with pytest.raises(OutputError, match=r"'another\.txt', which the shard does not read"):
        execute(request(corpus, replace(READ, run=run)), Store(str(tmp_path / "home")))


def test_the_corpus_is_one_group(corpus: Path) -> None:
    """So that tests above see several files kept by one shard."""
    items = request(corpus).externals["files"].items
    assert len(list(gather_units(unit_of(item, None) for item in items))) == 1
