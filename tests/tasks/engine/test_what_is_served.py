"""What may be served or adopted, and what must be built again; who may publish."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.errors import (
    CancelledError,
    DamagedArtifactError,
    LeaseLostError,
    StoreError,
)
from tasks.engine.run.build import build
from tasks.engine.run.execute import execute
from tasks.engine.run.plan import Selection, SelectionError, Status
from tasks.engine.stage.out import Out
from tasks.engine.store import channels
from tasks.engine.store.artifact import Inputs, build_folder
from tasks.engine.store.lease import Lease
from tasks.engine.store.store import Store
from tasks.engine.upkeep.verify import verify
from tests.tasks.engine.small_chain import REGISTRY, SHOUT, planner, write_corpus
from tests.tasks.engine.test_build import ran


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", files=3, lines=3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home"))


def code_of_shout(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    """As if a file that `shout` reaches had been edited."""
    from tasks.engine.run import execute as executing
    from tasks.engine.run import plan as planning
    from tasks.engine.run.code import code_record

    def record(stage: Any, commits: bool = True) -> Any:
        found = code_record(stage, commits)
        if stage.name != "shout":
            return found
        return found.model_copy(update={"files": {**found.files, "llm/shouting.py": mark}})

    monkeypatch.setattr(executing, "code_record", record)
    monkeypatch.setattr(planning, "code_record", record)


def test_adopted_shards_of_earlier_code_are_told_and_can_be_refused(
    store: Store, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_of_shout(monkeypatch, "old")
    build(planner(store, corpus))
    code_of_shout(monkeypatch, "new")
    (corpus / "late.txt").write_text("one more line")
    built = build(planner(store, corpus))["shout"].artifact
    assert (built.manifest.timings.shards_adopted, built.manifest.timings.shards_built) == (3, 1)
    row = planner(store, corpus).plan()[1]
    assert row.status is Status.DRIFT
    assert "3 shards adopted from earlier code" in row.reasons
    strict = Selection(on_code_drift="rerun")
    assert planner(store, corpus, strict).plan()[1].runs
    again = build(planner(store, corpus, strict))["shout"].artifact
    assert again.manifest.timings.shards_adopted == 0
    assert planner(store, corpus).plan()[1].status is Status.FRESH
    (corpus / "later.txt").write_text("and another one")
    (corpus / "late.txt").write_text("one more line, changed")
    code_of_shout(monkeypatch, "newest")
    mixed = build(planner(store, corpus, strict))["shout"].artifact
    assert mixed.manifest.timings.shards_adopted == 0


def test_an_artifact_without_some_shards_is_not_served_to_the_strict(
    store: Store, corpus: Path
) -> None:
    crash = {"crash_on": "LINE 1 OF FILE 1", "workers": 2}
    lax = build(planner(store, corpus, shout={**crash, "max_failed_shards": 1}))
    assert lax["shout"].artifact.manifest.totals.rejected == {"shard_failed": 3}
    assert ran(build(planner(store, corpus, shout={**crash, "max_failed_shards": 1}))) == set()
    row = planner(store, corpus, shout=crash).plan()[1]
    assert (row.status, row.runs) == (Status.DAMAGED, True)
    assert "built without shard" in row.reasons[0]


def test_a_download_belongs_to_one_content(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    remote = Store(f"memory://{tmp_path.name}")
    remote.replace("model/weights", b"first")
    assert remote.fetch("model/weights", "a" * 64).read_bytes() == b"first"
    remote.replace("model/weights", b"other")
    assert remote.fetch("model/weights", "b" * 64).read_bytes() == b"other"
    assert remote.fetch("model/weights", "a" * 64).read_bytes() == b"first"


def test_deep_verification_hashes_the_store_itself(
    tmp_path: Path, corpus: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    remote = Store(f"memory://{tmp_path.name}-deep")
    shout = build(planner(remote, corpus))["shout"].artifact
    assert shout.data("texts").table().num_rows == 9  # downloaded
    assert verify(remote, deep=True) == {}
    path = f"{shout.folder}/texts/{shout.data('texts').parts[0].path}"
    remote.replace(path, bytes(reversed(remote.read(path))))
    assert list(verify(remote, deep=True)) == [shout.folder]


def test_damaged_bytes_are_named_where_they_are_read(store: Store, corpus: Path) -> None:
    done = build(planner(store, corpus))
    texts, model = (done["shout"].artifact.data("texts"), done["count"].artifact.data("model"))
    part = texts.path(texts.parts[0])
    middle = part.stat().st_size // 2
    part.write_bytes(part.read_bytes()[:middle] + b"\0" * (part.stat().st_size - middle))
    with pytest.raises(DamagedArtifactError, match=rf"{part}: .*`ingot verify --deep` marks"):
        texts.table()
    with pytest.raises(DamagedArtifactError, match="not the bytes that were published"):
        texts.folder()
    weights = model.path(model.parts[0])
    weights.write_bytes(b"8" * weights.stat().st_size)
    with pytest.raises(DamagedArtifactError, match="not the bytes that were published"):
        model.folder()


def test_verification_looks_at_what_channels_mean_too(store: Store, corpus: Path) -> None:
    first = build(planner(store, corpus))["count"].artifact
    channels.point(store, "small", first, channel="prod")
    build(planner(store, corpus, Selection(force=("count",))))
    weights = first.data("model").path(first.data("model").parts[0])
    weights.write_bytes(b"8" * weights.stat().st_size)
    assert verify(store, deep=True) == {first.folder: ["model/count.txt"]}


def test_a_store_that_is_not_there_says_what_to_install() -> None:
    with pytest.raises(StoreError, match="'nowhere://home' cannot be opened: Protocol not known"):
        Store("nowhere://home")


def test_a_heartbeat_outlives_a_store_out_of_reach(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failures = store.replace, [OSError("no route"), RuntimeError("endpoint")]

    def unsteady(path: str, data: bytes) -> None:
        if failures:
            raise failures.pop()
        write(path, data)

    with Lease(store, "lease", time_to_live=0.2) as held:
        monkeypatch.setattr(store, "replace", unsteady)
        first = store.read_json("lease/000001.json")["heartbeat"]
        deadline = time.monotonic() + 10
        while store.read_json("lease/000001.json")["heartbeat"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not failures
        assert not held.lost


def test_a_run_that_lost_its_lease_stops_and_publishes_nothing(store: Store, corpus: Path) -> None:
    def slow(config: Any, inputs: Inputs, out: Out) -> None:
        lease = f"{build_folder('shout', request.build_id)}/lease"
        other = {**store.read_json(f"{lease}/000001.json"), "holder": "other"}
        store.replace(f"{lease}/000002.json", json.dumps(other).encode())
        deadline = time.monotonic() + 10
        while not out.cancelled():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        raise CancelledError("stopped")

    stages = {**REGISTRY, "shout": replace(SHOUT, run=slow)}
    plan = planner(store, corpus, Selection(only=("shout",)), registry=stages)
    build(planner(store, corpus, Selection(only=("read",))))
    plan.row("read")
    request = plan.request("shout")
    with pytest.raises(LeaseLostError, match="taken over by"):
        execute(request, store, time_to_live=0.2)
    assert channels.resolve(store, "small", "shout") is None
    assert not [path for path in store.files("artifacts/shout") if "manifest" in path]


def test_what_will_surely_run_is_not_called_pending(store: Store, corpus: Path) -> None:
    second = write_corpus(corpus.parent / "second", files=1, lines=2)

    def with_file(config: Any) -> Any:
        from tasks.engine.identity.snapshot import snapshot_files

        return {"list": snapshot_files([str(second / "*.txt")], "count.list")}

    stages = {**REGISTRY, "count": replace(REGISTRY["count"], externals=with_file)}
    build(planner(store, corpus, registry=stages))
    changed = {"mark": "?"}
    waits = planner(store, corpus, registry=stages, shout=changed).plan()[2]
    assert (waits.status, waits.runs) == (Status.PENDING, None)
    (second / "file0.txt").write_text("another list")
    surely = planner(store, corpus, registry=stages, shout=changed).plan()[2]
    assert (surely.status, surely.runs) == (Status.STALE, True)
    assert surely.reasons == ("list: changed file0.txt", "after shout")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Selection(only=("read",), start=("shout",)), "--only and --from exclude each other"),
        (Selection(only=("read",), force=("shout",)), "--force shout: it is not among"),
        (Selection(start=("count",), force=("read",)), "--force read: it is not among"),
    ],
)
def test_contradictions_are_refused(
    store: Store, corpus: Path, asked: Selection, told: str
) -> None:
    with pytest.raises(SelectionError, match=told):
        planner(store, corpus, asked).plan()


def test_two_runs_never_share_an_attempt(store: Store, corpus: Path) -> None:
    built = build(planner(store, corpus))["shout"].artifact
    folder = build_folder("shout", built.manifest.build_id)
    store.create(f"{folder}/0002/reserved", b"")  # by a run that writes there now
    forced = build(planner(store, corpus, Selection(force=("shout",))))["shout"].artifact
    assert forced.manifest.attempt == "0003"
