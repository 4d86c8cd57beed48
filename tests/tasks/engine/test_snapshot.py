"""Paths of a recipe that stand for nothing: one error that names the field, whatever is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.engine.errors import ExternalInputError
from tasks.engine.identity import snapshot
from tasks.engine.identity.snapshot import Item, Snapshot, snapshot_files


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "absent.txt",
        "folder/*.gz",
        "a**b",
        "folder/**.txt",
        "~nobody-of-that-name/a.txt",
        "a\0b",
        "a" * 5000,
        "folder/" * 3000,
        "",
        " \n",
        "folder/[",
        "folder/a.txt/b",
        "\ud800",
    ],
)
def test_a_pattern_that_stands_for_nothing_is_told(root: Path, text: str) -> None:
    with pytest.raises(ExternalInputError, match=r"^source\.paths: ") as error:
        snapshot_files([text], "source.paths")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(snapshot, "sha256_file", broken)
    with pytest.raises(ExternalInputError, match=r"source\.paths: .*a\.txt cannot be read: Perm"):
        snapshot_files(["folder"], "source.paths")


def test_names_start_where_the_pattern_does(root: Path) -> None:
    for pattern in ("folder", "folder/a.txt", "folder/*.txt", str(root / "folder" / "**" / "*")):
        (item,) = snapshot_files([pattern], "source.paths", prefix="s/").items
        assert (item.name, item.size) == ("s/a.txt", 1)


def test_a_file_and_a_folder_of_one_name_are_told(root: Path) -> None:
    (root / "other" / "a.txt").mkdir(parents=True)
    (root / "other" / "a.txt" / "inner.txt").write_text("inner")
    with pytest.raises(
        ExternalInputError, match=r"a\.txt is a file, and .*inner\.txt comes to lie"
    ):
        snapshot_files(["folder", "other"], "fetch.places[web].paths", prefix="web/")


def test_digests_are_not_read_while_nothing_has_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "folder" / "deeper").mkdir()
    (root / "folder" / "deeper" / "b.txt").write_text("b")
    (root / "folder" / "link.txt").symlink_to("a.txt")
    (root / "folder" / "nowhere").symlink_to(root / "absent")
    first = snapshot_files(["folder"], "source.paths")
    assert first.names == ["a.txt", "deeper/b.txt", "link.txt"]
    assert first.items[0].sha256 == first.items[2].sha256

    def never(paths: object) -> dict[str, tuple[int, str]]:
        raise AssertionError("digests were asked for")

    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "_digests", never)
        again = snapshot_files(["folder"], "source.paths")
        assert (again.data_id, again.size) == (first.data_id, 3)
    moved = root / "elsewhere"
    (root / "folder").rename(moved)
    assert snapshot_files([str(moved)], "source.paths").data_id == first.data_id


@pytest.mark.parametrize("change", ["content", "linked", "name", "added", "gone"])
def test_whatever_changes_is_seen(root: Path, change: str) -> None:
    folder = root / "folder"
    (folder / "b.txt").write_text("b")
    (root / "linked.txt").write_text("c")
    (folder / "c.txt").symlink_to(root / "linked.txt")
    first = snapshot_files(["folder"], "source.paths")
    if change == "content":
        (folder / "a.txt").write_text("other")
    elif change == "linked":
        (root / "linked.txt").write_text("d, of another size")
    elif change == "name":
        (folder / "a.txt").rename(folder / "z.txt")
    elif change == "added":
        (folder / "d.txt").write_text("a")
    else:
        (folder / "b.txt").unlink()
    second = snapshot_files(["folder"], "source.paths")
    assert second.data_id != first.data_id
    assert second.data_id == Snapshot(second.items).data_id


def test_several_are_joined_to_one_identity(root: Path) -> None:
    (root / "other").mkdir()
    (root / "other" / "b.txt").write_text("b")
    one = snapshot_files(["folder"], "source.paths", prefix="one/")
    two = snapshot_files(["other"], "source.paths", prefix="two/")
    given = Item("two/a==1.0", 1, "0" * 64, "")
    joined = Snapshot.joined([two, Snapshot([given]), one])
    assert joined.names == ["one/a.txt", "two/a==1.0", "two/b.txt"]
    assert [item.name for item in joined.items] == joined.names
    assert joined.data_id == Snapshot(reversed(joined.items)).data_id
    other = Snapshot.joined([two, Snapshot([replace(given, sha256="1" * 64)]), one])
    assert other.data_id != joined.data_id


def test_an_address_is_no_path() -> None:
    with pytest.raises(ExternalInputError, match=r"being an address; name it under fetch\.files"):
        snapshot_files(["s3://bucket/*.jsonl"], "paths")
