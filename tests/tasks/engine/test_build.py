"""The engine on a small chain: what runs, what is served, what the plan says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest

from llm.tables import DOC_ID
from tasks.engine.declare import Output
from tasks.engine.errors import ConservationError, MissingInputError, OutputError, ShardError
from tasks.engine.run.build import build
from tasks.engine.run.plan import Selection, Status
from tasks.engine.shards.unit import Unit
from tasks.engine.stage.out import Out
from tasks.engine.store.store import Store
from tasks.engine.upkeep.verify import verify
from tests.tasks.engine import small_chain
from tests.tasks.engine.small_chain import REGISTRY, SHOUT, planner, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home"))


def ran(done: dict) -> set[str]:
    return {stage for stage, built in done.items() if not built.cached}


def statuses(plan: list) -> dict[str, Status]:
    return {row.stage: row.status for row in plan}


def data_ids(done: dict) -> dict[str, str]:
    return {
        f"{stage}.{name}": output.data_id
        for stage, built in done.items()
        for name, output in built.artifact.manifest.outputs.items()
    }


def test_second_run_serves_everything(store: Store, corpus: Path) -> None:
    assert statuses(planner(store, corpus).plan()) == dict.fromkeys(REGISTRY, Status.MISSING)
    first = build(planner(store, corpus))
    assert ran(first) == {"read", "shout", "count"}
    assert statuses(planner(store, corpus).plan()) == dict.fromkeys(REGISTRY, Status.FRESH)
    second = build(planner(store, corpus))
    assert ran(second) == set()
    assert data_ids(first) == data_ids(second)


def test_totals_and_facts(store: Store, corpus: Path) -> None:
    (corpus / "file0.txt").write_text("a\nlonger line")
    done = build(planner(store, corpus, read={"shortest": 3}))
    totals = done["read"].artifact.manifest.totals
    assert (totals.rows_in, totals.kept, totals.removed) == (4 * 7 + 2, 4 * 7 + 1, {"short": 1})
    texts = done["shout"].artifact.data("texts").table()["text"].to_pylist()
    assert done["shout"].artifact.facts["characters"] == sum(map(len, texts))
    assert "LONGER LINE!" in texts


def test_changed_field_makes_it_stale_and_descendants_pending(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    changed = {"shout": {"mark": "?"}}
    plan = planner(store, corpus, **changed).plan()
    assert statuses(plan) == {
        "read": Status.FRESH,
        "shout": Status.STALE,
        "count": Status.PENDING,
    }
    assert plan[1].reasons == ("mark: '!' -> '?'",)
    assert ran(build(planner(store, corpus, **changed))) == {"shout", "count"}
    assert ran(build(planner(store, corpus))) == set(), "the old artifacts are still there"


def test_equal_bytes_stop_the_cascade(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    # No line is shorter than 2 characters, so the output of `read` is the same.
    plan = planner(store, corpus, read={"shortest": 2}).plan()
    assert statuses(plan) == {
        "read": Status.STALE,
        "shout": Status.PENDING,
        "count": Status.PENDING,
    }
    assert ran(build(planner(store, corpus, read={"shortest": 2}))) == {"read"}


def test_forced_stage_runs_and_equal_bytes_leave_the_rest_fresh(store: Store, corpus: Path) -> None:
    first = build(planner(store, corpus))
    forced = build(planner(store, corpus, Selection(force=("shout",))))
    assert ran(forced) == {"shout"}
    assert data_ids(first) == data_ids(forced)
    assert forced["shout"].artifact.manifest.attempt == "0002"
    assert forced["shout"].artifact.manifest.timings.shards_adopted == 0


def test_execution_fields_and_places_enter_no_identity(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    moved = corpus.rename(corpus.with_name("elsewhere"))
    assert ran(build(planner(store, moved, shout={"workers": 3}))) == set()


def test_new_file_builds_its_own_shards_only(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    (corpus / "file9.txt").write_text("a new line")
    plan = planner(store, corpus).plan()
    assert plan[0].reasons == ("files: new file9.txt",)
    done = build(planner(store, corpus))
    for stage in ("read", "shout"):
        timings = done[stage].artifact.manifest.timings
        assert (timings.shards_built, timings.shards_adopted) == (1, 5)


def test_changed_external_content_is_noticed(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    (corpus / "file1.txt").write_text("other words")
    plan = planner(store, corpus).plan()
    assert plan[0].reasons == ("files: changed file1.txt",)


def test_evidence_nobody_reads_leaves_children_fresh(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    schema = pa.schema([DOC_ID, pa.field("length", pa.int64()), pa.field("half", pa.int64())])
    more = dataclasses.replace(
        SHOUT,
        version=2,
        run=with_more_evidence,
        outputs={**SHOUT.outputs, "lengths": Output("Evidence.", schema)},
    )
    registry = {**REGISTRY, "shout": more}
    done = build(planner(store, corpus, registry=registry))
    assert ran(done) == {"shout"}


def with_more_evidence(config, inputs, out) -> None:
    out.map(more_evidence, over="texts", arguments={"mark": config.mark})


def more_evidence(unit: Unit, mark: str):
    for emitted in small_chain.shout_part(unit, mark, False, ""):
        if isinstance(emitted, tuple) and emitted[0] == "lengths":
            table = emitted[1]
            halves = pa.array([n // 2 for n in table["length"].to_pylist()], pa.int64())
            yield "lengths", table.append_column("half", halves)
        else:
            yield emitted


@pytest.mark.parametrize("wound", ["delete", "flip"])
def test_one_damaged_part_rebuilds_one_shard(store: Store, corpus: Path, wound: str) -> None:
    first = build(planner(store, corpus))
    artifact = first["shout"].artifact
    part = artifact.data("texts").parts[2]
    path = store.local_path(f"{artifact.folder}/texts/{part.path}")
    if wound == "delete":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert verify(store, deep=False) == {}
        assert verify(store, deep=True) == {artifact.folder: [f"texts/{part.path}"]}
    plan = planner(store, corpus).plan()
    assert plan[1].status is Status.DAMAGED
    assert plan[1].reasons == (f"damaged: texts/{part.path}",)
    again = build(planner(store, corpus))
    assert ran(again) == {"shout"}, "equal bytes: what depends on it stays fresh"
    timings = again["shout"].artifact.manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (1, 4)
    assert data_ids(first) == data_ids(again)
    assert verify(store, deep=True) == {}


def test_workers_do_not_change_the_bytes(tmp_path: Path, corpus: Path) -> None:
    one = build(planner(Store(str(tmp_path / "one")), corpus, shout={"workers": 1}))
    four = build(planner(Store(str(tmp_path / "four")), corpus, shout={"workers": 4}))
    assert data_ids(one) == data_ids(four)


def test_lost_row_fails_the_stage(store: Store, corpus: Path) -> None:
    with pytest.raises(ConservationError, match="shout: of 35 ids in, 5 are in no output"):
        build(planner(store, corpus, shout={"lose": True}))
    assert statuses(planner(store, corpus).plan())["shout"] is Status.MISSING


def test_repeated_id_fails_the_stage(store: Store, corpus: Path) -> None:
    (corpus / "file0.txt").write_text("twice\ntwice")
    with pytest.raises(ConservationError, match=r"read\.texts: 1 doc_id more than once"):
        build(planner(store, corpus))


def test_columns_are_added_behind_those_there_are(store: Store, corpus: Path) -> None:
    def collides(config: object, inputs: object, out: Out) -> None:
        out.extend("texts", [pa.field("text", pa.string())])

    stages = {**REGISTRY, "shout": dataclasses.replace(SHOUT, run=collides)}
    with pytest.raises(OutputError, match=r"shout\.texts has a column 'text' already"):
        build(planner(store, corpus, registry=stages))


def test_crashing_shard_is_named_and_others_are_kept(store: Store, corpus: Path) -> None:
    broken = {"shout": {"crash_on": "FILE 3", "workers": 2}}
    with pytest.raises(ShardError, match=r"1 shard failed twice, 0 allowed(.|\n)*file3"):
        build(planner(store, corpus, **broken))
    borne = {"shout": {"crash_on": "FILE 3", "workers": 2, "max_failed_shards": 1}}
    done = build(planner(store, corpus, **borne))
    totals = done["shout"].artifact.manifest.totals
    assert (totals.rows_in, totals.kept, totals.rejected) == (35, 28, {"shard_failed": 7})


def test_only_and_from_take_the_rest_as_last_built(store: Store, corpus: Path) -> None:
    with pytest.raises(MissingInputError, match=r"ingot run --recipe small --only shout"):
        build(planner(store, corpus, Selection(only=("count",))))
    build(planner(store, corpus))
    changed = {"read": {"shortest": 16}, "shout": {"mark": "?"}}
    done = build(planner(store, corpus, Selection(start=("shout",)), **changed))
    assert ran(done) == {"shout"} or ran(done) == {"shout", "count"}
    assert "read" not in done


def test_same_bytes_in_memory_and_on_disk(store: Store, corpus: Path) -> None:
    on_disk = build(planner(store, corpus))
    in_memory = build(planner(Store(f"memory://{corpus.parent.name}"), corpus))
    assert data_ids(on_disk) == data_ids(in_memory)
    again = planner(Store(f"memory://{corpus.parent.name}"), corpus)
    assert ran(build(again)) == set()
