"""`extends`: what differs over what is extended, and which file an error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.planning import planner_for
from tasks.engine.errors import RecipeError
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.recipe_files import BaseCycleError, UnknownBaseError

BASE = """name: ground
description: Of a test.
on_code_drift: fail
source: {sources: [{name: web, paths: [pages]}, {name: docs, paths: [docs]}]}
clean: {}
dedup: {threshold: 0.7, validation_fraction: 0.1}
report: {title: Ground}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    (tmp_path / "ground.yaml").write_text(BASE)
    return tmp_path


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def refused(path: str, *changes: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(path, changes)
    return str(caught.value)


def test_fields_are_merged_lists_replaced_and_stages_taken_out(folder: Path) -> None:
    path = write(
        folder,
        "upper.yaml",
        "extends: ground.yaml\ndedup: {threshold: 0.9}\nreport: null\n"
        "source: {sources: [{name: web, paths: [others]}]}\n",
    )
    base, found = load(str(folder / "ground.yaml")), load(path)
    assert list(found.configs) == ["source", "clean", "dedup"]
    assert found.configs["clean"] == base.configs["clean"]
    identity = found.configs["dedup"].identity()
    assert (identity["threshold"], identity["validation_fraction"]) == (0.9, 0.1)
    sources = found.configs["source"].model_dump()["sources"]
    assert [each["paths"] for each in sources] == [["others"]]
    # Its own: under the name of the other it would move that one's pointers.
    assert (found.name, found.description, found.on_code_drift) == ("upper", "", "fail")


def test_a_chain_of_them_and_a_change_on_top(folder: Path) -> None:
    write(folder, "deep/middle.yaml", "extends: ../ground.yaml\nreport: null\nexport: {name: a}\n")
    path = write(
        folder, "top.yaml", "extends: deep/middle.yaml\nexport: {gguf: [f16]}\nreport: {}\n"
    )
    found = load(path, ["dedup.threshold=0.6", "export.name=b"])
    assert found.configs["dedup"].identity()["threshold"] == 0.6
    assert found.configs["export"].identity() == {
        **found.configs["export"].identity(),
        "name": "b",
        "gguf": ["f16"],
    }
    assert (
        found.configs["report"] == load(write(folder, "r.yaml", "report: {}\n")).configs["report"]
    )


def test_a_shipped_one_by_name(folder: Path) -> None:
    path = write(folder, "quickstart.yaml", "extends: quickstart\npretrain: {tokens: 1e6}\n")
    found, base = load(path).configs, load("quickstart").configs
    assert {name for name in base if found[name] != base[name]} == {"pretrain"}


def test_an_error_names_the_file_that_a_field_came_from(folder: Path) -> None:
    ground = write(folder, "ground.yaml", BASE.replace("0.7", "7").replace("web,", "web, kin: a,"))
    path = write(
        folder, "upper.yaml", "extends: ground.yaml\ndedup: {validation_fraction: 3}\nx: 1\n"
    )
    lines = refused(path).splitlines()
    assert {line.partition(": ")[0]: [] for line in lines} == {ground: [], path: []}
    told = {line.split(": ")[1]: line.split(": ")[0] for line in lines}
    assert told == {
        "x": path,
        "source.sources.0.kin": ground,
        "dedup.threshold": ground,
        "dedup.validation_fraction": path,
    }
    assert f"{path}: dedup.threshold: " in refused(path, "dedup.threshold=8")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (
            "extends: quikstart\n",
            UnknownBaseError,
            "extends: no recipe 'quikstart': .* did you mean",
        ),
        ("extends: [a]\n", RecipeError, "extends: the name or path of a recipe was expected"),
        ("extends: 'a\\0b'\n", UnknownBaseError, "extends: no recipe"),
        ("extends: upper.yaml\n", BaseCycleError, "cannot extend itself: .*upper.* -> .*upper"),
        ("extends: ring.yaml\n", BaseCycleError, "upper.yaml -> .*ring.yaml -> .*upper.yaml"),
        ("extends: lost.yaml\n", UnknownBaseError, "lost.yaml: extends: no recipe 'nowhere'"),
        ("extends: list.yaml\n", RecipeError, "list.yaml: a recipe is a mapping"),
        ("extends: ground.yaml\nsft: null\n", RecipeError, "sft: null takes a stage out, and what"),
        ("extends: ground.yaml\nclean: null\nclaen: {}\n", RecipeError, "claen: no such stage"),
    ],
)
def test_what_cannot_be_extended(
    folder: Path, text: str, error: type[Exception], says: str
) -> None:
    write(folder, "ring.yaml", "extends: ./upper.yaml\n")
    write(folder, "lost.yaml", "extends: nowhere\n")
    write(folder, "list.yaml", "- dedup\n")
    path = write(folder, "upper.yaml", text)
    with pytest.raises(error, match=says) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_earlier_stages_are_what_they_were(folder: Path) -> None:
    """The identity of a stage is that of its fields, whichever file wrote them."""
    for name in ("pages", "docs"):
        (folder / name).mkdir()
        (folder / name / "one.html").write_text("<p>One page.</p>")
    path = write(folder, "upper.yaml", "extends: ground.yaml\ndedup: {threshold: 0.9}\n")
    store = Store(str(folder / "home"))
    ids = [
        {
            stage: planner_for(load(each), each, store).request(stage).build_id
            for stage in ("source",)
        }
        for each in (str(folder / "ground.yaml"), path)
    ]
    assert ids[0] == ids[1]
