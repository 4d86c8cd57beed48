"""Small parts as one shard: nothing is lost of what shards are for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tasks.engine.errors import DamagedArtifactError, OutputError
from tasks.engine.identity.snapshot import Item
from tasks.engine.run.build import build
from tasks.engine.shards.gathering import gather_units
from tasks.engine.shards.unit_files import UnitFiles, unit_of
from tasks.engine.stage.out import Out
from tasks.engine.store.store import Store
from tests.tasks.engine import small_chain
from tests.tasks.engine.small_chain import REGISTRY, SHOUT, planner, write_corpus

FILES = 150


def part(name: str, rows: int = 1, size: int = 3_000, sha256: str = "") -> UnitFiles:
    return unit_of(Item(name, size, sha256 or f"sha of {name}", f"{name}.parquet", True), rows)


def members(units: list[UnitFiles]) -> list[list[str]]:
    return [[file.name for file in unit.files] for unit in units]


def groups(parts: list[UnitFiles]) -> dict[tuple[str, str], list[str]]:
    """Members of each group by what identifies it."""
    units = list(gather_units(parts))
    assert len({unit.name for unit in units}) == len(units)
    return {(u.name, u.sha256): m for u, m in zip(units, members(units), strict=True)}


PARTS = [part(f"page{number:04}") for number in range(1000)]


def test_every_part_is_in_one_group_in_its_place() -> None:
    units = list(gather_units(PARTS))
    assert [name for group in members(units) for name in group] == [p.name for p in PARTS]
    assert 5 < len(units) < 40
    assert sum(unit.rows or 0 for unit in units) == 1000
    assert list(gather_units(PARTS)) == units


@pytest.mark.parametrize("place", [0, 1, 333, 998, 1000])
def test_a_new_part_changes_its_own_group(place: int) -> None:
    before = groups(PARTS)
    new = [*PARTS[:place], part(f"page{place - 1:04}-new"), *PARTS[place:]]
    changed = [group for key, group in groups(new).items() if key not in before]
    # Two where its name ends a group.
    assert 1 <= len(changed) <= 2
    assert sum("new" in name for group in changed for name in group) == 1


def test_a_changed_part_changes_its_own_group() -> None:
    other = [*PARTS]
    other[500] = part("page0500", sha256="of other bytes")
    gone = set(groups(PARTS)) - set(groups(other))
    assert len(gone) == 1
    assert "page0500" in groups(PARTS)[gone.pop()]


def test_large_parts_are_shards_of_their_own_and_groups_are_bounded() -> None:
    large = part("m", size=300_000)
    alone = list(gather_units([part("a"), part("b"), large, part("x"), part("y")]))
    assert members(alone) == [["a", "b"], ["m"], ["x", "y"]]
    assert alone[1] is large
    for rows, size in ((200, 3_000), (1, 200_000)):
        many = [part(f"p{number:03}", rows, size) for number in range(50)]
        for unit in gather_units(many):
            assert (unit.rows or 0) <= 500
            assert len(unit.files) * size <= 1 << 20
        assert any(len(unit.files) > 1 for unit in gather_units(many))
    assert list(gather_units([])) == []


def run(config: small_chain.ShoutConfig, inputs: object, out: Out) -> None:
    arguments = {"mark": config.mark, "lose": config.lose, "crash_on": config.crash_on}
    out.map(small_chain.shout_part, over="texts", arguments=arguments, gather=True)


GATHERING = {**REGISTRY, "shout": dataclasses.replace(SHOUT, run=run)}


def test_the_rows_are_those_of_single_shards(tmp_path: Path) -> None:
    corpus, home = write_corpus(tmp_path / "corpus", FILES), Store(str(tmp_path / "home"))
    one = build(planner(home, corpus))["shout"].artifact
    other = Store(str(tmp_path / "other"))
    many = build(planner(other, corpus, registry=GATHERING))["shout"].artifact
    for name in ("texts", "lengths"):
        assert many.data(name).table().to_pylist() == one.data(name).table().to_pylist()
    assert many.facts["characters"] == one.facts["characters"]
    assert len(many.data("texts").parts) < FILES / 10


def test_a_new_and_a_changed_file_build_their_groups(tmp_path: Path) -> None:
    corpus, store = write_corpus(tmp_path / "corpus", FILES), Store(str(tmp_path / "home"))
    first = build(planner(store, corpus, registry=GATHERING))["shout"].artifact.manifest.timings
    (corpus / "file20-new.txt").write_text("a new line")
    (corpus / "file99.txt").write_text("other words")
    done = build(planner(store, corpus, registry=GATHERING))["shout"].artifact.manifest
    assert done.timings.shards_built <= 3
    assert done.timings.shards_adopted >= first.shards_built - 2
    assert done.totals.kept == 7 * (FILES - 1) + 2


def test_a_group_that_fails_is_rejected_with_all_its_rows(tmp_path: Path) -> None:
    corpus, store = write_corpus(tmp_path / "corpus", FILES), Store(str(tmp_path / "home"))
    (corpus / "file77.txt").write_text("the one that kills")
    fields = {"crash_on": "KILLS", "workers": 2, "max_failed_shards": 1}
    made = build(planner(store, corpus, registry=GATHERING, shout=fields))["shout"].artifact
    (name,) = made.facts["failed_shards"]
    lost = made.manifest.totals.rejected["shard_failed"]
    assert made.manifest.totals.kept + lost == 7 * (FILES - 1) + 1
    assert name.count("+") == 1
    assert lost < 7 * FILES / 2


def test_damage_of_one_of_several_parts_is_named(tmp_path: Path) -> None:
    corpus, store = write_corpus(tmp_path / "corpus", 3), Store(str(tmp_path / "home"))
    read = build(planner(store, corpus))["read"].artifact.data("texts")
    wounded = read.path(read.parts[1])
    wounded.write_bytes(wounded.read_bytes()[:-1] + b"!")
    with pytest.raises(DamagedArtifactError, match=wounded.name):
        build(planner(store, corpus, registry=GATHERING, shout={"mark": "?"}))


def test_what_goes_by_names_of_parts_cannot_be_gathered(tmp_path: Path) -> None:
    def both(config: object, inputs: object, out: Out) -> None:
        out.map(small_chain.shout_part, over="texts", aligned=("texts",), gather=True)

    registry = {**REGISTRY, "shout": dataclasses.replace(SHOUT, run=both)}
    corpus, store = write_corpus(tmp_path / "corpus", 3), Store(str(tmp_path / "home"))
    with pytest.raises(OutputError, match="read together"):
        build(planner(store, corpus, registry=registry))
