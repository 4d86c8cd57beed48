"""The multiplied artifact of the overhead benchmark is one that a plan takes for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.engine_share import measure
from benchmarks.overhead import SEED_FILES, multiply
from flows.planning import planner
from tasks.engine.run.plan import Status
from tasks.engine.store.published import damage


def test_a_plan_finds_a_multiplied_artifact_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = multiply(tmp_path, SEED_FILES + 3)
    [row] = planner(str(recipe)).plan()
    assert row.status is Status.FRESH
    assert row.artifact is not None
    assert row.artifact.manifest.outputs["pages"].count == SEED_FILES + 3
    assert not damage(row.artifact)
    one = next((tmp_path / "many").rglob("*.txt"))
    one.write_text("Other text than before.")
    [row] = planner(str(recipe)).plan()
    assert row.status is not Status.FRESH


def test_the_engine_s_share_is_of_a_stage_that_was_built() -> None:
    found = measure(0.3)
    assert found["work_s"] >= 0.3
    assert found["engine_s"] > 0
    assert found["engine_share"] == pytest.approx(found["engine_s"] / found["work_s"])
