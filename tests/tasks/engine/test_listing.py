"""Long lists of a manifest lie beside it, and are believed only as they were published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.engine.errors import DamagedArtifactError
from tasks.engine.run.build import build
from tasks.engine.run.plan import Status
from tasks.engine.store import listing
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current, damage
from tasks.engine.store.store import Store
from tasks.engine.upkeep.gc import collect
from tasks.engine.upkeep.verify import verify
from tests.tasks.engine.small_chain import planner, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(listing, "LONG", 2)
    monkeypatch.setattr("tasks.engine.store.store._FEW", 1)
    if request.param == "memory":
        monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
        return Store(f"memory://{tmp_path.name}")
    return Store(str(tmp_path / "home"))


def listed(artifact: Artifact) -> list[str]:
    folder = f"{artifact.folder}/{listing.FOLDER}"
    return [f"{folder}/{name}" for name in artifact.store.names(folder)]


def test_an_artifact_is_the_same_with_its_lists_apart(
    store: Store, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = build(planner(store, corpus))
    monkeypatch.setattr(listing, "LONG", 1_000)
    whole = build(planner(Store(str(tmp_path / "whole")), corpus))
    for name, built in apart.items():
        one, other = built.artifact, whole[name].artifact
        assert one.manifest.build_id == other.manifest.build_id
        for output, record in other.manifest.outputs.items():
            split = one.manifest.outputs[output]
            assert (split.data_id, split.count, split.rows, split.bytes) == (
                record.data_id,
                record.count,
                record.rows,
                record.bytes,
            )
            assert one.data(output).parts == other.data(output).parts
            assert not other.manifest.listings()
    read = apart["read"].artifact
    written = json.loads(store.read(f"{read.folder}/manifest.json"))
    assert written["externals"]["files"]["items"] is None
    assert read.external_items("files") == whole["read"].artifact.external_items("files")
    assert len(read.external_items("files")) == read.manifest.externals["files"].count > 2
    assert not damage(read)


@pytest.mark.parametrize("how", ["flipped", "short", "gone"])
def test_a_damaged_list_is_found_and_mended(store: Store, corpus: Path, how: str) -> None:
    before = build(planner(store, corpus))["read"].artifact
    assert listed(before)
    for path in listed(before):
        content = store.read(path)
        if how == "gone":
            store.remove(path)
        elif how == "short":
            store.replace(path, content[:-1])
        else:
            middle = len(content) // 2
            flipped = bytes([content[middle] ^ 1])
            store.replace(path, content[:middle] + flipped + content[middle + 1 :])
    names = sorted(path.removeprefix(f"{before.folder}/") for path in listed_names(before))
    found = current(store, "read", before.manifest.build_id)
    assert found is not None
    assert damage(found) == names
    output = next(name for name, record in before.manifest.outputs.items() if record.listing)
    with pytest.raises(DamagedArtifactError, match="listings"):
        found.data(output).table()
    for deep in (False, True):
        assert verify(store, deep)[before.folder] == names
    row = planner(store, corpus).plan()[0]
    assert (row.status, row.runs) == (Status.DAMAGED, True)
    after = build(planner(store, corpus))["read"].artifact
    assert after.manifest.attempt == "0002"
    assert after.manifest.timings.shards_built == 0  # every shard was whole
    assert after.manifest.outputs == before.manifest.outputs
    assert not damage(after)


def listed_names(artifact: Artifact) -> list[str]:
    return [
        f"{artifact.folder}/{listing.listing_path(each)}" for each in artifact.manifest.listings()
    ]


def test_a_missing_part_is_found_through_its_list(store: Store, corpus: Path) -> None:
    artifact = build(planner(store, corpus))["read"].artifact
    output = next(name for name, record in artifact.manifest.outputs.items() if record.listing)
    part = artifact.data(output).parts[1]
    store.remove(f"{artifact.folder}/{output}/{part.path}")
    assert damage(artifact) == [f"{output}/{part.path}"]


def test_what_changed_outside_is_told_from_the_list(store: Store, corpus: Path) -> None:
    artifact = build(planner(store, corpus))["read"].artifact
    name = artifact.external_items("files")[0].name
    (corpus / name).write_text("Other lines than there were before.\n")
    row = planner(store, corpus).plan()[0]
    assert row.reasons == (f"files: changed {name}",)
    for path in listed(artifact):
        store.remove(path)
    row = planner(store, corpus).plan()[0]
    assert row.reasons == ("files: changed; the list of what was read is damaged",)


def test_a_superseded_attempt_goes_with_its_lists(store: Store, corpus: Path) -> None:
    build(planner(store, corpus))
    (corpus / "f00.txt").write_text("Other lines than there were before.\n")
    build(planner(store, corpus))
    [old] = [each for each in collect(store, keep_last=1) if "/read/" in each.folder]
    assert old.bytes == store.total_size(old.folder) > 0
    assert f"{old.folder}/{listing.FOLDER}" in {
        path.rpartition("/")[0] for path in store.files(old.folder)
    }
