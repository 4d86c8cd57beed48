"""A run goes by the plan it was shown, and looks again only at what has changed since."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.engine.run.build import Step, build, steps
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.run.plan import Planner, Row, Selection, Status
from tasks.engine.store.store import Store
from tests.tasks.engine.small_chain import planner, write_corpus


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


def run(plan: Planner) -> list[Step]:
    def one(request: BuildRequest, force: bool) -> BuildResult:
        return execute(request, plan.store, force=force)

    return list(steps(plan, one))


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages whose state was looked at, in order."""
    seen: list[str] = []
    row = Planner.row

    def counted(self: Planner, stage: str) -> Row:
        seen.append(stage)
        return row(self, stage)

    monkeypatch.setattr(Planner, "row", counted)
    return seen


def test_what_is_fresh_is_looked_at_once(store: Store, corpus: Path, looked_at: list[str]) -> None:
    build(planner(store, corpus))
    looked_at.clear()
    plan = planner(store, corpus)
    assert plan.plan() == plan.plan()
    done = run(plan)
    assert looked_at == ["read", "shout", "count"]
    assert [step.row.status for step in done] == [Status.FRESH] * 3
    assert all(step.built is not None and step.built.cached for step in done)


def test_what_reads_of_a_stage_that_ran_is_looked_at_again(
    store: Store, corpus: Path, looked_at: list[str]
) -> None:
    before = build(planner(store, corpus))
    looked_at.clear()
    plan = planner(store, corpus, shout={"mark": "?"})
    assert [row.runs for row in plan.plan()] == [False, True, None]
    done = run(plan)
    assert looked_at == ["read", "shout", "count", "shout", "count"]
    assert [step.built is not None and step.built.cached for step in done] == [True, False, False]
    assert done[2].row.status is Status.STALE
    count = before["count"].artifact.manifest
    assert done[2].built is not None
    assert done[2].built.artifact.manifest.build_id != count.build_id


def test_what_was_built_again_by_another_since_the_plan_is_looked_at_again(
    store: Store, corpus: Path, looked_at: list[str]
) -> None:
    build(planner(store, corpus))
    plan = planner(store, corpus)
    plan.plan()
    build(planner(store, corpus, Selection(force=("shout",))))
    looked_at.clear()
    done = run(plan)
    assert looked_at == ["count"]
    assert done[1].built is not None
    assert done[1].built.artifact.manifest.attempt == "0002"


def test_what_was_damaged_since_the_plan_is_built_again(store: Store, corpus: Path) -> None:
    first = build(planner(store, corpus))["shout"].artifact
    plan = planner(store, corpus)
    plan.plan()
    data = first.data("texts")
    data.path(data.parts[0]).unlink()
    done = run(plan)
    assert done[1].built is not None
    assert not done[1].built.cached


def test_stages_outside_the_selection_are_read_as_planned(
    store: Store, corpus: Path, looked_at: list[str]
) -> None:
    build(planner(store, corpus))
    looked_at.clear()
    plan = planner(store, corpus, Selection(only=("count",), force=("count",)))
    plan.plan()
    done = run(plan)
    assert [step.built is None for step in done] == [True, True, False]
    assert looked_at == ["read", "shout", "count", "count"]
