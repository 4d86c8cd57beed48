"""A job needs the address of the store, and nothing of the machine that planned it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.engine.declare import Conservation, Output
from tasks.engine.errors import DamagedArtifactError
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.run.build import build
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards import adoption
from tasks.engine.shards.job import Job
from tasks.engine.shards.receipt import Receipt
from tasks.engine.shards.unit import Emitted, NewFile, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.stages import fetch, source
from tasks.stages.fetch import FetchConfig
from tasks.stages.source_config import SourceConfig
from tasks.stages.source_items import externals
from tests.tasks.engine.shared_store import PROTOCOL
from tests.tasks.engine.small_chain import (
    READ,
    TEXTS,
    ReadConfig,
    planner,
    read_externals,
    read_lines,
    write_corpus,
)
from tests.tasks.engine.test_build import data_ids

NOTHING = Snapshot(())
PROGRAM = (
    "import sys, pickle, tests.tasks.engine.shared_store; "
    "from tasks.engine.shards.job import run_job; "
    "print(run_job(pickle.load(sys.stdin.buffer)).model_dump_json())"
)


class FreshProcess:
    """Carries each job out in a new process: bytes go in, a line of JSON comes out.

    Args:
        place: for its current folder, its home and its cache, all of them empty.
        unseen: folders of this machine that no job may name.
    """

    at_once = 2
    elsewhere = True

    def __init__(self, place: Path, unseen: list[Path]) -> None:
        self._place, self._unseen = place, unseen
        self.jobs = 0

    def submit(self, job: Job) -> Future[Receipt]:
        carried = pickle.dumps(job)
        for path in self._unseen:
            assert str(path).encode() not in carried
        self.jobs += 1
        folder = self._place / str(self.jobs)
        folder.mkdir(parents=True)
        places = {"HOME": str(folder), "TMPDIR": str(folder), "INGOT_CACHE": str(folder / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=carried,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**places, "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        )
        future: Future[Receipt] = Future()
        future.set_result(Receipt.model_validate_json(done.stdout))
        return future

    def close(self) -> None:
        return


@pytest.fixture(params=["path", PROTOCOL])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    home = tmp_path / "shared"
    return Store(str(home) if request.param == "path" else f"{request.param}://{home}")


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FreshProcess:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    place = FreshProcess(tmp_path / "away", [tmp_path / "corpus", tmp_path / "cache", Path.cwd()])
    monkeypatch.setattr(adoption, "executor", lambda _asked, _jobs: place)
    return place


def receipts(artifact: Artifact) -> dict[str, dict[str, Any]]:
    """What each shard left, without how long it took."""
    store, folder = artifact.store, f"{artifact.folder}/receipts"
    found = {name: store.read_json(f"{folder}/{name}") for name in store.names(folder)}
    for receipt in found.values():
        del receipt["seconds"]
    return found


def look_around(unit: Unit) -> Iterator[Emitted]:
    """One row a line: what there is beside it, at its side, and outside."""
    own = unit.aligned_file("texts")
    lines = [len(path.read_bytes()) for path in unit.shared_files("whole")]
    outside = [Path(item.path).read_text() for item in unit.external["files"]]
    table = unit.table()
    assert own.read_bytes() == unit.path.read_bytes()
    texts = [f"{text} {lines} {outside[0]}" for text in table["text"].to_pylist()]
    yield "seen", pa.table([table["doc_id"], pa.array(texts)], schema=TEXTS)
    (unit.scratch / "draft").write_text(unit.name)
    yield NewFile("notes", f"of/{unit.name}.txt", unit.scratch / "draft")


def list_twice(unit: Unit) -> Iterator[Emitted]:
    for emitted in read_lines(unit, 1):
        if isinstance(emitted, RowsIn):
            yield emitted
        elif isinstance(emitted, tuple) and emitted[0] == "texts":
            yield emitted
            yield "whole", emitted[1]


def run_around(config: ReadConfig, inputs: Inputs, out: Out) -> None:
    out.map(list_twice, over=inputs.external["files"].items)
    out.map(look_around, over="texts", shared=("whole", "files"), aligned=("texts",))


AROUND = replace(
    READ,
    name="around",
    outputs={
        "texts": Output("Lines.", TEXTS, unique_ids=True),
        "whole": Output("The same.", TEXTS),
        "seen": Output("What a shard sees.", TEXTS),
        "notes": Output("A file a shard."),
    },
    run=run_around,
    conservation=Conservation(None, kept="texts"),
)


def test_outputs_and_receipts_are_those_made_here(
    tmp_path: Path, store: Store, away: FreshProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus", files=3)
    there = build(planner(store, corpus))
    assert away.jobs == 6, "three files, and what was read of them"
    monkeypatch.undo()
    here = build(planner(Store(str(tmp_path / "here")), corpus))
    assert data_ids(here) == data_ids(there)
    for stage in ("read", "shout"):
        ours, theirs = (receipts(done[stage].artifact) for done in (here, there))
        assert ours == theirs
        assert len(ours) == 3
    assert not [path for path in store.files("artifacts") if "/staging/" in path]
    assert not [*(tmp_path / "away").rglob("*.lock"), *(tmp_path / "away").rglob("*.parquet.*")]
    assert sorted(p.name for p in corpus.iterdir()) == [f"file{n}.txt" for n in range(3)]


def test_all_a_shard_may_read_is_opened_there(
    tmp_path: Path, store: Store, away: FreshProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus", files=2)
    order = around(corpus)
    there = execute(order, store).artifact
    assert away.jobs == 4
    monkeypatch.undo()
    here = execute(order, Store(str(tmp_path / "here"))).artifact
    assert receipts(here) == receipts(there)
    for output in AROUND.outputs:
        assert here.data(output).data_id == there.data(output).data_id
    again = execute(order, store, force=True).artifact
    assert receipts(again) == receipts(there)


def around(corpus: Path) -> BuildRequest:
    config = ReadConfig(paths=[str(corpus / "*.txt")], workers=1)
    return BuildRequest(AROUND, config, {}, read_externals(config))


def test_workers_find_a_home_of_a_relative_path(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", files=2)
    program = (
        "import sys; from tasks.engine.store.store import Store; "
        "from tests.tasks.engine.small_chain import planner; from pathlib import Path; "
        "from tasks.engine.run.build import build; "
        "build(planner(Store(sys.argv[1]), Path(sys.argv[2]), shout={'workers': 2}))"
    )
    subprocess.run(
        [sys.executable, "-c", program, "home", str(corpus)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    store = Store(str(tmp_path / "home"))
    done = build(planner(store, corpus))
    assert all(built.cached for built in done.values())


def test_a_part_that_is_gone_from_the_store_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    corpus, store = write_corpus(tmp_path / "corpus", files=2), Store(f"memory://{tmp_path.name}")
    read = build(planner(store, corpus))["read"].artifact
    part = read.data("texts").parts[0]
    store.remove(f"{read.folder}/texts/{part.path}")
    plan = planner(store, corpus, shout={"mark": "?"})
    plan.artifacts["read"] = read
    with pytest.raises(DamagedArtifactError, match=f"{part.path} is missing or cut short"):
        execute(plan.request("shout"), store)


def test_what_was_fetched_is_read_from_the_store_alone(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    corpus = write_corpus(tmp_path / "corpus", files=2)
    (tmp_path / "rows.jsonl").write_text('{"text": "one row"}\n{"text": "and another"}\n')
    places = [{"name": "far", "paths": [str(corpus), str(tmp_path / "rows.jsonl")]}]
    wanted = FetchConfig.model_validate({"workers": 1, "places": places})
    request = BuildRequest(fetch.STAGE, wanted, {}, fetch.externals(wanted))
    fetched = execute(request, store).artifact
    config = SourceConfig.model_validate({"sources": [{"name": "own", "fetched": "far"}]})
    read = BuildRequest(source.STAGE, config, {"fetched": (fetched, "files")}, {"files": NOTHING})
    place = FreshProcess(tmp_path / "away", [corpus, tmp_path / "cache", tmp_path / "rows.jsonl"])
    monkeypatch.setattr(adoption, "executor", lambda _asked, _jobs: place)
    there = execute(read, store).artifact
    assert place.jobs == 3
    monkeypatch.undo()
    paths = [str(corpus), str(tmp_path / "rows.jsonl")]
    direct = SourceConfig.model_validate({"sources": [{"name": "own", "paths": paths}]})
    request = BuildRequest(source.STAGE, direct, {}, externals(direct))
    here = execute(request, Store(str(tmp_path / "here"))).artifact
    assert receipts(here) == receipts(there), "not even a shard id tells where its file was"


def test_what_was_kept_is_read_from_the_store_alone(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "corpus").mkdir()
    for number in range(3):
        lines = [f'{{"text": "row {number + row}"}}\n' for row in range(3)]
        (tmp_path / "corpus" / f"{number}.jsonl").write_text("".join(lines))
    specs = [{"name": "own", "paths": [str(tmp_path / "corpus")]}]
    config = SourceConfig.model_validate({"sources": specs})
    read = BuildRequest(source.STAGE, config, {}, externals(config))
    place = FreshProcess(tmp_path / "away", [tmp_path / "corpus", tmp_path / "cache"])
    monkeypatch.setattr(adoption, "executor", lambda _asked, _jobs: place)
    there = execute(read, store).artifact
    assert place.jobs == 4, "three small files listed together, then each"
    monkeypatch.undo()
    here = execute(read, Store(str(tmp_path / "here"))).artifact
    assert receipts(here) == receipts(there)
    assert (there.data("pages").rows, there.data("repeats").rows) == (5, 4)
    assert not [path for path in store.files("artifacts") if "/intermediate/" in path]
