"""A published file gets a second name: a link where the file system has links, else a copy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tasks.engine.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "home"))
    store.replace("a/one", b"content")
    return store


def test_it_is_the_same_file_under_both(store: Store) -> None:
    store.copy("a/one", "b/c/one")
    store.copy("a/one", "b/c/two")
    assert store.local_path("b/c/one").samefile(store.local_path("a/one"))
    assert store.local_path("b/c/two").samefile(store.local_path("a/one"))


def test_what_has_the_name_already_stays(store: Store) -> None:
    store.replace("b/one", b"other")
    store.copy("a/one", "b/one")
    assert store.read("b/one") == b"other"


def test_without_links_it_is_copied(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    store.copy("a/one", "b/one")
    assert store.read("b/one") == b"content"
    assert not store.local_path("b/one").samefile(store.local_path("a/one"))


def test_what_is_gone_is_an_error(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.copy("a/two", "b/two")
