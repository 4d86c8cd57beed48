"""What a stage shows is made once, when it is published, and kept beside the manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.engine.errors import DamagedArtifactError
from tasks.engine.run.build import build
from tasks.engine.run.plan import Selection, Status
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.engine.store.views import FILE, kept_view
from tasks.engine.upkeep.verify import verify
from tasks.panels.panels import Panel, Table
from tasks.panels.stored import PanelsFormatError
from tests.tasks.engine.small_chain import REGISTRY, SHOUT, planner, write_corpus


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


def registry(panels: object) -> dict[str, Stage]:
    return {**REGISTRY, "shout": replace(SHOUT, panels=panels)}  # type: ignore[arg-type]


def test_what_is_shown_is_kept_with_the_artifact(store: Store, corpus: Path) -> None:
    done = build(planner(store, corpus, shout={"mark": "?"}))
    for name, built in done.items():
        view = kept_view(built.artifact)
        assert view is not None
        assert view.description == REGISTRY[name].description
        rows = built.artifact.manifest.totals.rows_in
        assert view.panels == (Table("totals", ("rows",), ((rows,),)),)
    shown = kept_view(done["shout"].artifact)
    assert shown is not None
    assert shown.config.rows[0] == ("mark", "?", "!", "Put behind every text.")
    assert [row[0] for row in shown.config.rows] == ["mark", "lose", "crash_on"]


def test_a_panel_may_read_all_that_is_published(store: Store, corpus: Path) -> None:
    found: list[tuple[int, int]] = []

    def panels(artifact: Artifact) -> list[Panel]:
        assert artifact.store.names(artifact.folder).count("manifest.json") == 0
        characters = artifact.facts["characters"]
        found.append((artifact.data("texts").table().num_rows, characters))
        assert artifact.data("rejected").table().column_names == ["doc_id", "reason", "detail"]
        return []

    done = build(planner(store, corpus, registry=registry(panels)))
    assert found == [(35, done["shout"].artifact.facts["characters"])]
    build(planner(store, corpus, registry=registry(panels)))
    assert len(found) == 1, "an artifact that is served is not looked at again"


def test_what_is_shown_enters_no_identity(store: Store, corpus: Path, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    one = build(planner(store, corpus))
    two = build(planner(other, corpus, registry=registry(lambda artifact: [])))
    for name in ("shout", "count"):
        first, second = one[name].artifact.manifest, two[name].artifact.manifest
        assert first.build_id == second.build_id
        assert first.outputs == second.outputs
    assert kept_view(one["shout"].artifact) != kept_view(two["shout"].artifact)


def broken(artifact: Artifact) -> list[Panel]:
    raise KeyError("splits")


def malformed(artifact: Artifact) -> list[Panel]:
    return [Table("t", ["a"], [[{"no": "cell"}]])]  # type: ignore[list-item]


@pytest.mark.parametrize(("panels", "error"), [(broken, KeyError), (malformed, PanelsFormatError)])
def test_panels_that_fail_stop_their_stage_before_it_is_published(
    store: Store, corpus: Path, panels: object, error: type[Exception]
) -> None:
    with pytest.raises(error) as failed:
        build(planner(store, corpus, registry=registry(panels)))
    told = "shout: its panels could not be made, so nothing was published."
    assert failed.value.__notes__ == [told]
    names = {Path(path).name for path in store.files("artifacts/shout")}
    assert not names & {"manifest.json", "current.json", "panels.json"}
    again = build(planner(store, corpus))["shout"].artifact
    assert again.manifest.timings.shards_adopted == 5, "what was built is taken over"


Wound = Callable[[Path, Path], object]


def _make_a_folder(own: Path, other: Path) -> None:
    own.unlink()
    own.mkdir()


WOUNDS: dict[str, tuple[Wound, str]] = {
    "absent": (lambda own, other: own.unlink(), "missing"),
    "cut short": (lambda own, other: own.write_bytes(own.read_bytes()[:-2]), "not JSON"),
    "changed": (
        lambda own, other: own.write_bytes(own.read_bytes().replace(b"totals", b"losses")),
        "not the bytes that were published",
    ),
    "nested": (lambda own, other: own.write_text("[" * 100_000), "recursion"),
    "a folder": (_make_a_folder, "cannot be read"),
    "of another": (lambda own, other: own.write_bytes(other.read_bytes()), "not the bytes"),
}


@pytest.mark.parametrize("wound", WOUNDS)
def test_what_is_shown_is_verified(store: Store, corpus: Path, wound: str) -> None:
    done = build(planner(store, corpus))
    artifact, other = done["shout"].artifact, done["count"].artifact
    assert verify(store, deep=False) == verify(store, deep=True) == {}
    spoil, told = WOUNDS[wound]
    spoil(panels_of(artifact), panels_of(other))
    with pytest.raises(DamagedArtifactError, match=told):
        kept_view(artifact)
    assert verify(store, deep=False) == verify(store, deep=True) == {artifact.folder: [FILE]}
    # A model would be trained again for a page: that is for people to decide.
    assert all(row.status is Status.FRESH for row in planner(store, corpus).plan())
    build(planner(store, corpus, Selection(force=("shout",))))
    assert verify(store, deep=True) == {}


def test_what_a_version_showed_that_recorded_no_digest(store: Store, corpus: Path) -> None:
    done = build(planner(store, corpus, shout={"mark": "?"}))
    for built in done.values():
        path = store.local_path(f"{built.artifact.folder}/manifest.json")
        record = json.loads(path.read_text())
        del record["panels"]
        path.write_text(json.dumps(record))
    assert verify(store, deep=True) == {}
    mine, other = panels_of(done["shout"].artifact), panels_of(done["count"].artifact)
    own = mine.read_bytes()
    mine.write_bytes(other.read_bytes())
    assert verify(store, deep=True) == {done["shout"].artifact.folder: [FILE]}
    mine.write_bytes(own)
    mine.unlink()  # such a version may have kept none
    assert verify(store, deep=True) == {}


def panels_of(artifact: Artifact) -> Path:
    return artifact.store.local_path(f"{artifact.folder}/{FILE}")
