"""Paths of a recipe that stand for nothing: one error that names the field, whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.engine.errors import ExternalInputError
from tasks.engine.identity import snapshot
from tasks.engine.identity.snapshot import snapshot_files


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
