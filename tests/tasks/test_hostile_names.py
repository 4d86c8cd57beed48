"""Names that become paths: whatever they are, nothing outside its folder is read or written."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.planning import pinned_artifacts
from llm.corpus.fetch.file_urls import FileUrlError, check_url, file_name
from tasks.engine.errors import IngotError, MissingInputError, RecipeError
from tasks.engine.store import channels
from tasks.engine.store.named import is_named
from tasks.engine.store.store import Store
from tasks.recipe import validate_recipe
from tasks.stages.fetch_places import PlaceSpec
from tasks.stages.source_config import SourceSpec

PIECES = (
    "..",
    ".",
    "/",
    "//",
    "\\",
    "%2e%2e",
    "%2f",
    "%00",
    "\0",
    "~",
    "a",
    "0001",
    "*",
    ":",
    "\n",
    " ",
)
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join) | st.text(
    max_size=12
)
CLIMBING = ("../../elsewhere", "/etc/passwd", "..", "a/../../b", "a\0b", "a\n")


class Watched(Store):
    """A store that fails a test in which something outside of it is asked for."""

    def full(self, path: str) -> str:
        place = PurePosixPath(path)
        assert not place.is_absolute(), path
        assert ".." not in place.parts, path
        assert "\0" not in path, path
        return super().full(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("names")
    outside = folder / "elsewhere.json"
    outside.write_text(json.dumps({"build_id": "0" * 64, "attempt": "0001"}))
    return Watched(str(folder / "home"))


@given(name=NAMES)
@example(name="../../elsewhere")
@example(name="../elsewhere/0001")
@example(name="abc/..")
def test_an_attempt_named_by_hand(store: Store, name: str) -> None:
    with pytest.raises((RecipeError, MissingInputError)):
        pinned_artifacts(store, [f"source/{name}"])


@given(name=NAMES)
@example(name="../../../elsewhere")
def test_a_channel_and_a_recipe(store: Store, name: str) -> None:
    for recipe, channel in ((name, "latest"), ("mine", name)):
        try:
            found = channels.resolve(store, recipe, "source", channel)
        except channels.PointerNameError:
            continue
        assert found is None
        assert name.replace("-", "").replace("_", "a").isalnum() or set(name) <= {"-", "_"}


@given(name=NAMES)
def test_an_artifact_named_in_a_config(name: str) -> None:
    assert not is_named(f"{name}@abcd") or name.replace(".", "").replace("_", "").isalpha()
    assert not is_named(f"pretrain@{name}") or name.isalnum()


@given(name=NAMES)
@example(name="..")
@example(name="a/b")
@example(name="a\n")
def test_a_source_and_a_place(name: str) -> None:
    for model, fields in (
        (SourceSpec, {"paths": ["a"]}),
        (PlaceSpec, {"kind": "folder", "paths": ["a"]}),
    ):
        try:
            made = model.model_validate({"name": name, **fields})
        except ValidationError:
            continue
        assert PurePosixPath(made.name).parts == (made.name,)
        assert made.name not in (".", "..")
        assert made.name.isprintable()


@pytest.mark.parametrize("name", CLIMBING)
def test_a_recipe_s_own_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(IngotError, match="is used in paths"):
        validate_recipe({"name": name}, tmp_path / "mine.yaml")


@given(host=NAMES, path=NAMES, query=NAMES)
@example(host="..", path="a.txt", query="")
@example(host="example.org", path="%2e%2e/%2e%2e/a.txt", query="")
@example(host="example.org", path="..%2f..%2fa.txt", query="b")
def test_the_file_of_a_url(host: str, path: str, query: str) -> None:
    url = f"https://{host}/{path}?{query}"
    try:
        check_url(url)
    except FileUrlError:
        return
    place = PurePosixPath(file_name(url))
    assert not place.is_absolute()
    assert ".." not in place.parts
    assert len(place.parts) > 1  # the host, and something in it
    assert "\0" not in str(place)
