from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.engine.declare import Output
from tasks.engine.errors import MissingInputError
from tasks.engine.run.build import build
from tasks.engine.run.plan import Selection
from tasks.engine.stage.out import Out
from tasks.engine.store import channels
from tasks.engine.store.artifact import Inputs, build_folder
from tasks.engine.store.lease import Lease
from tasks.engine.store.store import Store
from tasks.engine.upkeep import gc
from tasks.engine.upkeep.trace import resolve, trace
from tests.tasks.engine.small_chain import REGISTRY, planner, write_corpus
from tests.tasks.engine.test_build import ran


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", files=2, lines=3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home"))


def test_a_document_is_found_in_every_stage(store: Store, corpus: Path) -> None:
    (corpus / "file0.txt").write_text("a\nlong enough")
    done = build(planner(store, corpus, read={"shortest": 3}))
    artifacts = [built.artifact for built in done.values()]
    texts = done["read"].artifact.data("texts").table().to_pylist()
    wanted = next(row["doc_id"] for row in texts if row["text"] == "long enough")
    found = trace(artifacts, resolve(artifacts, wanted[:12]))
    places = [(row.stage, row.output) for row in found]
    assert places == [("read", "texts"), ("shout", "texts"), ("shout", "lengths")]
    assert found[2].row["length"] == len("LONG ENOUGH!")
    short = done["read"].artifact.data("removed").table().to_pylist()[0]["doc_id"]
    (gone,) = trace(artifacts, short)
    assert (gone.output, gone.row["reason"], gone.row["value"]) == ("removed", "short", 1.0)


def test_an_unknown_or_ambiguous_document_is_refused(store: Store, corpus: Path) -> None:
    artifacts = [built.artifact for built in build(planner(store, corpus)).values()]
    with pytest.raises(MissingInputError, match="no document"):
        resolve(artifacts, "nothing like it")
    with pytest.raises(MissingInputError, match="matches 6 documents"):
        resolve(artifacts, "")


def test_gc_keeps_what_pointers_mean_and_all_it_was_made_from(store: Store, corpus: Path) -> None:
    build(planner(store, corpus, shout={"mark": "?"}))
    kept = channels.resolve(store, "small", "count")
    assert kept is not None
    channels.point(store, "small", kept, channel="prod")
    build(planner(store, corpus, shout={"mark": "#"}))
    build(planner(store, corpus))
    candidates = gc.collect(store, keep_last=0)
    # What is left of "#" alone: its shout (its count has equal bytes but its own recipe).
    assert {c.folder.split("/")[1] for c in candidates} == {"shout", "count"}
    gc.remove(store, candidates)
    assert channels.resolve(store, "small", "count", "prod") is not None
    assert ran(build(planner(store, corpus, shout={"mark": "?"}))) == set()
    assert ran(build(planner(store, corpus))) == set()
    assert ran(build(planner(store, corpus, shout={"mark": "#"}))) == {"shout", "count"}


def test_gc_spares_what_a_live_run_is_building(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    build(planner(store, corpus, Selection(force=("shout",))))
    assert gc.collect(store, keep_last=0) == [], "count was made from the first attempt"
    build(planner(store, corpus, Selection(force=("count",))))
    old = {c.folder.split("/")[1]: c.folder for c in gc.collect(store, keep_last=0)}
    assert old.keys() == {"shout", "count"}
    assert all(folder.endswith("/0001") for folder in old.values())
    shout = channels.resolve(store, "small", "shout")
    assert shout is not None
    with Lease(store, f"{build_folder('shout', shout.manifest.build_id)}/lease"):
        assert [c.folder for c in gc.collect(store, keep_last=0)] == [old["count"]]


def test_what_a_stopped_run_left_goes_only_when_asked_for(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    shout = channels.resolve(store, "small", "shout")
    assert shout is not None
    folder = build_folder("shout", shout.manifest.build_id)
    receipt = json.dumps({"files": {"texts": [], "lengths": []}}).encode()
    store.replace(f"{folder}/0009/receipts/f00.json", receipt)
    store.replace(f"{folder}/0009/texts/part.parquet", b"half")
    store.replace(f"{folder}/scratch/checkpoints/step-10/model", b"checkpoint")
    assert gc.collect(store, keep_last=1) == []
    attempt, scratch = gc.collect(store, keep_last=1, unfinished=True)
    size = 4 + len(receipt)
    assert (attempt.folder, attempt.why, attempt.bytes) == (f"{folder}/0009", "unfinished", size)
    assert (scratch.folder, scratch.why, scratch.bytes) == (f"{folder}/scratch", "unfinished", 10)
    gc.remove(store, [attempt])
    assert store.exists(f"{folder}/scratch/checkpoints/step-10/model")
    assert ran(build(planner(store, corpus))) == set()
    store.replace(f"{folder}/0000/texts/part.parquet", b"half")
    (old,) = gc.collect(store, keep_last=1)  # a later attempt was finished
    assert (old.folder, old.why) == (f"{folder}/0000", "superseded")


def test_what_nobody_can_go_on_from_is_garbage(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    shout, count = (channels.resolve(store, "small", stage) for stage in ("shout", "count"))
    assert shout is not None
    assert count is not None
    half, whole = f"{shout.folder[:-4]}0007", f"{count.folder[:-4]}0003"
    receipt = json.dumps({"files": {"texts": []}}).encode()
    store.replace(f"{half}/receipts/f00.json", receipt)
    store.replace(f"{half}/texts/part.parquet", b"adoptable")
    store.replace(f"{half}/staging/f01/texts/part.parquet", b"cut short")
    store.replace(f"{half}/lengths/part.parquet", b"of no receipt")
    store.replace(f"{whole}/model/count.txt", b"a model without a manifest")
    found = {c.folder: (c.why, c.bytes) for c in gc.collect(store, keep_last=1)}
    assert found == {
        f"{half}/staging": ("left over", 9),
        f"{half}/lengths": ("left over", 13),
        whole: ("left over", 26),
    }
    with Lease(store, f"{build_folder('count', count.manifest.build_id)}/lease"):
        assert whole not in {c.folder for c in gc.collect(store, keep_last=1)}
    gc.remove(store, gc.collect(store, keep_last=1))
    assert store.files(half) == [f"{half}/receipts/f00.json", f"{half}/texts/part.parquet"]
    assert store.files(whole) == []
    assert ran(build(planner(store, corpus))) == set()


def test_bytes_that_another_attempt_keeps_are_not_promised(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    first = channels.resolve(store, "small", "shout")
    assert first is not None
    attempt = f"{first.folder[:-4]}0002"
    for path in store.files(f"{first.folder}/texts"):
        store.copy(path, path.replace("/0001/", "/0002/"))
    store.replace(f"{attempt}/own", b"12345")
    (left,) = gc.collect(store, keep_last=1)
    assert left.bytes > 5
    assert gc.freed_bytes(store, [left]) == 5
    both = [left, gc.Candidate(f"{first.folder}/texts", "", 0)]
    assert gc.freed_bytes(store, both) == left.bytes


def test_checkpoints_alone_keep_their_recipe(store: Store, corpus: Path) -> None:
    folder = build_folder("shout", "f" * 64)
    store.replace(f"{folder}/scratch/checkpoint", b"step 5")
    store.replace(f"{folder}/0001/reserved", b"")
    gc.remove(store, [c for c in gc.collect(store, 0, unfinished=True) if "0001" in c.folder])
    assert store.files(folder) == [f"{folder}/scratch/checkpoint"]
    (left,) = gc.collect(store, 0, unfinished=True)
    gc.remove(store, [left])
    assert store.files(folder) == []


def test_every_row_that_mentions_a_document(store: Store, corpus: Path) -> None:
    rows = [("x", "y", "z"), ("y", "x", "x"), ("y", "z", "x"), ("y", "z", "z"), ("x", "x", "x")]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    pairs = pa.schema([(name, pa.string()) for name in ("doc_id", "other_id", "kept_doc_id")])

    def run(config: Any, inputs: Inputs, out: Out) -> None:
        with out.table("pairs") as writer:
            writer.write(pa.table(columns, schema=pairs))
        out.conserve(rows_in=9, kept=9)

    stage = replace(REGISTRY["count"], run=run, outputs={"pairs": Output("Pairs.", pairs)})
    done = build(planner(store, corpus, registry={**REGISTRY, "count": stage}))
    found = trace([done["count"].artifact], "x")
    assert [(row.column, row.row["doc_id"]) for row in found] == [
        ("doc_id", "x"),
        ("other_id", "y"),
        ("kept_doc_id", "y"),
        ("doc_id", "x"),
    ]
