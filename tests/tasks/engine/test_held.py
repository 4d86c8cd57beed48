"""A recipe that holds stages: what they learned from the corpus stays, whatever is new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.engine.config import StageConfig
from tasks.engine.declare import HELD, Input, Output
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection, Status
from tasks.engine.stage.out import Out
from tasks.engine.store import channels
from tasks.engine.store.artifact import Inputs
from tasks.engine.store.store import Store
from tasks.engine.upkeep.gc import collect, remove
from tests.tasks.engine.small_chain import COUNT, READ, SHOUT, panels, planner, write_corpus

SEEN = pa.schema([pa.field("doc_id", pa.string(), nullable=False), pa.field("turn", pa.int64())])


class SeenConfig(StageConfig):
    pass


def seen_run(config: SeenConfig, inputs: Inputs, out: Out) -> None:
    """Of each text the turn in which it was first there: a state that grows with every run."""
    before = inputs[HELD].table().to_pylist() if HELD in inputs else []
    turns = {row["doc_id"]: row["turn"] for row in before}
    turn = max(turns.values(), default=-1) + 1
    ids = inputs["texts"].table(["doc_id"]).column("doc_id").to_pylist()
    with out.table("seen") as table:
        table.write(pa.table([ids, [turns.get(each, turn) for each in ids]], schema=SEEN))
    out.conserve(rows_in=len(ids), kept=len(ids))


SEEN_STAGE = replace(
    COUNT,
    name="seen",
    config=SeenConfig,
    inputs={
        "texts": Input(("shout.texts",), "Shouted."),
        HELD: Input((), "What it saw before.", optional=True, held="seen"),
    },
    outputs={"seen": Output("Turns.", SEEN, unique_ids=True)},
    run=seen_run,
    panels=panels,
)
STAGES = {
    "read": READ,
    "shout": SHOUT,
    "count": replace(COUNT, learned=True),
    "seen": SEEN_STAGE,
}
HOLD = Selection(hold=("count", "seen"))


def plan_of(home: Path, corpus: Path, selection: Selection = HOLD, **fields: Any) -> Planner:
    made = planner(Store(str(home)), corpus, selection, **fields)
    configs = {**made.configs, "seen": SeenConfig()}
    return replace(made, chain=chain(STAGES, configs), configs=configs)


def statuses(plan: Planner) -> dict[str, Status]:
    return {row.stage: row.status for row in plan.plan()}


def turns(home: Path) -> list[int]:
    artifact = channels.resolve(Store(str(home)), "small", "seen")
    assert artifact is not None
    return sorted(artifact.data("seen").table().column("turn").to_pylist())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", files=2, lines=2)


def add(corpus: Path, name: str) -> None:
    (corpus / f"{name}.txt").write_text(f"one more, {name}")


def test_a_held_stage_is_served_as_it_was_and_says_so(home: Path, corpus: Path) -> None:
    first = build(plan_of(home, corpus))["count"].artifact
    assert set(statuses(plan_of(home, corpus)).values()) == {Status.FRESH}
    add(corpus, "new")
    rows = {row.stage: row for row in plan_of(home, corpus).plan()}
    assert rows["count"].status is Status.HELD
    assert rows["count"].runs is False
    assert "--force count learns it anew" in rows["count"].reasons[0]
    done = build(plan_of(home, corpus))
    assert done["count"].artifact.folder == first.folder
    assert done["count"].cached
    assert done["shout"].artifact.manifest.totals.kept == 5


def test_it_is_moved_by_force_by_name_and_by_another_config(home: Path, corpus: Path) -> None:
    build(plan_of(home, corpus))
    add(corpus, "new")
    assert plan_of(home, corpus, replace(HOLD, hold=())).plan()[2].status is Status.PENDING
    changed = plan_of(home, corpus, count={"least": 1})
    assert statuses(changed)["count"] is Status.STALE
    build(plan_of(home, corpus))
    named = replace(HOLD, only=("count",))
    assert statuses(plan_of(home, corpus, named))["count"] is Status.STALE
    forced = build(plan_of(home, corpus, replace(HOLD, force=("count",))))["count"]
    assert forced.artifact.manifest.totals.rows_in == 5
    assert statuses(plan_of(home, corpus))["count"] is Status.FRESH


def test_a_damaged_one_is_no_longer_held(home: Path, corpus: Path) -> None:
    first = build(plan_of(home, corpus))["count"].artifact
    add(corpus, "new")
    (home / first.folder / "model" / "count.txt").unlink()
    assert build(plan_of(home, corpus))["count"].artifact.manifest.totals.rows_in == 5


def test_a_stage_goes_on_from_what_it_made_and_rests_when_nothing_is_new(
    home: Path, corpus: Path
) -> None:
    build(plan_of(home, corpus))
    for turn in (1, 2):
        add(corpus, f"new{turn}")
        plan = plan_of(home, corpus)
        assert statuses(plan)["seen"] is Status.PENDING
        done = build(plan)["seen"]
        assert not done.cached
        assert turns(home) == [0, 0, 0, 0, *range(1, turn + 1)]
        again = plan_of(home, corpus)
        assert statuses(again) == {
            "read": Status.FRESH,
            "shout": Status.FRESH,
            "count": Status.HELD,
            "seen": Status.FRESH,
        }
        assert build(again)["seen"].artifact.folder == done.artifact.folder


def test_gc_keeps_no_state_that_was_gone_on_from(home: Path, corpus: Path) -> None:
    for turn in range(3):
        add(corpus, f"new{turn}")
        build(plan_of(home, corpus))
    store = Store(str(home))
    gone = collect(store, keep_last=0)
    remove(store, gone)
    assert sum(each.folder.startswith("artifacts/seen/") for each in gone) == 2
    rows = plan_of(home, corpus).plan()
    assert [row.runs for row in rows] == [False] * 4
    add(corpus, "later")
    build(plan_of(home, corpus))
    assert turns(home)[-1] == 3


def test_forced_it_begins_anew(home: Path, corpus: Path) -> None:
    build(plan_of(home, corpus))
    add(corpus, "new")
    build(plan_of(home, corpus))
    build(plan_of(home, corpus, replace(HOLD, force=("seen",))))
    assert turns(home) == [0] * 5
    assert statuses(plan_of(home, corpus))["seen"] is Status.FRESH
