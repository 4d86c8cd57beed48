"""An update of Ingot makes nobody's artifacts stale.

`earlier_store/home` was made by an earlier version, from `pages` by `recipe.yaml`; `settings.json`
has the settings of every stage as they entered identity then.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.run.build import build
from tasks.engine.run.plan import Status
from tasks.engine.store.manifest import Manifest
from tasks.engine.store.store import Store
from tasks.engine.upkeep.verify import verify
from tasks.recipe import load
from tests.tasks.engine.make_earlier_store import (
    BUILT,
    FOLDER,
    HOME,
    RECIPE,
    SETTINGS,
    planner,
    settings,
)

SHARDED = ("source", "clean", "annotate")
WAY_OUT = (
    "artifacts that users have would be stale. A new field of a config: declare it with "
    "added(neutral, ...), tasks/engine/config.py. An output that means something else, on purpose: "
    "raise the stage's version and make a new store, "
    "`python -m tests.tasks.engine.make_earlier_store`"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_ROOT", str(FOLDER))
    return Path(shutil.copytree(HOME, tmp_path / "home"))


def test_every_stage_is_fresh(home: Path) -> None:
    rows = planner(home).plan()
    assert [row.stage for row in rows] == list(BUILT)
    # Code and libraries may have drifted since: that is told, and nothing runs for it.
    stale = {
        row.stage: (row.status, row.reasons)
        for row in rows
        if row.status not in (Status.FRESH, Status.DRIFT) or row.runs
    }
    assert not stale, f"{stale}: {WAY_OUT}"


def test_the_settings_of_every_stage_are_what_they_were() -> None:
    then = json.loads(SETTINGS.read_text(encoding="utf-8"))
    now = settings(load(str(RECIPE)).configs)
    changed = {name: (then.get(name), now[name]) for name in now if now[name] != then.get(name)}
    assert not changed, f"{changed}: {WAY_OUT}"


def test_every_shard_is_known_again(home: Path) -> None:
    before = planner(home)
    before.plan()
    for name in SHARDED:
        for manifest in home.glob(f"artifacts/{name}/*/*/manifest.json"):
            manifest.unlink()
    done = build(planner(home))
    for name in SHARDED:
        old, new = before.artifacts[name].manifest, done[name].artifact.manifest
        assert (new.timings.shards_built, new.timings.shards_adopted) == (
            0,
            old.timings.shards_built,
        ), f"{name}: {WAY_OUT}"
        assert _data_ids(new) == _data_ids(old)
    # Equal bytes: what reads them is served as it is.
    assert {name for name, built in done.items() if not built.cached} == set(SHARDED)


def _data_ids(manifest: Manifest) -> dict[str, str]:
    """Of what comes from shards: another pyarrow writes the same rows in other bytes."""
    outputs = {name: output.data_id for name, output in manifest.outputs.items()}
    return {name: data_id for name, data_id in outputs.items() if name != "repeats"}


def test_the_files_are_those_that_were_published(home: Path) -> None:
    assert verify(Store(str(home)), deep=True) == {}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for held in value.values():
            yield from _texts(held)
    elif isinstance(value, list):
        for held in value:
            yield from _texts(held)
    elif isinstance(value, str):
        yield value


def test_it_names_no_place_of_the_machine_it_was_made_on() -> None:
    records = [*HOME.glob("artifacts/*/*/*/manifest.json"), *HOME.rglob("receipts/*.json")]
    assert records
    for path in records:
        texts = list(_texts(json.loads(path.read_text(encoding="utf-8"))))
        assert not [text for text in texts if text.startswith("/") and len(text) > 1], path
