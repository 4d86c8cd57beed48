"""What was changed for a run is kept as a recipe of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tasks.recipe import load
from tasks.recipe_list import found_recipes
from tasks.recipe_saving import SaveError, changed_by, changed_fields, save
from tasks.registry import STAGES

CHANGES = [
    "dedup.threshold=0.7",
    "dedup.keep=[longest, doc_id]",
    "filter.rules.1.keep_fraction=0.5",
]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    return tmp_path


def test_a_saved_recipe_is_the_one_with_the_changes(root: Path) -> None:
    changed = load("quickstart", CHANGES)
    name = save("mine", "quickstart", changed_by(CHANGES, changed))
    assert name == "mine.yaml"
    saved = load(name)
    assert saved.name == "mine"
    assert saved.configs == changed.configs
    assert yaml.safe_load((root / name).read_text())["extends"] == "quickstart"
    again = load(name, ["dedup.threshold=0.6"])
    save("mine-too", name, changed_by(["dedup.threshold=0.6"], again))
    assert load("mine-too.yaml").configs == again.configs
    assert found_recipes()[-2:] == ["mine-too.yaml", "mine.yaml"]


def test_fields_of_a_form_are_those_that_differ_from_the_recipe() -> None:
    recipe = load("quickstart")
    dedup = recipe.configs["dedup"]
    assert changed_fields(recipe, {"dedup": dedup}) == {}
    other = dedup.model_copy(update={"threshold": 0.7})
    assert changed_fields(recipe, {"dedup": other}) == {"dedup": {"threshold": 0.7}}
    kto = STAGES["kto"].config()
    assert changed_fields(recipe, {"kto": kto}) == {"kto": {}}, "a stage the recipe has not"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../mine", "letters, digits"),
        ("/tmp/mine", "letters, digits"),
        ("mine.yaml", "letters, digits"),
        ("", "letters, digits"),
        ("m" * 81, "80 at most"),
        ("quickstart", "comes with Ingot"),
        ("there", "is there already"),
    ],
)
def test_names_that_are_refused(root: Path, name: str, reason: str) -> None:
    there = root / "there.yaml"
    there.write_text("extends: small\n")
    with pytest.raises(SaveError, match=reason):
        save(name, "quickstart", {"dedup": {"threshold": 0.7}})
    assert list(root.rglob("*")) == [there]
    assert there.read_text() == "extends: small\n"


def test_saved_twice_alike_is_saved() -> None:
    for _ in range(2):
        assert save("mine", "quickstart", {"dedup": {"threshold": 0.7}}) == "mine.yaml"
    with pytest.raises(SaveError, match=r"mine\.yaml is there already"):
        save("mine", "quickstart", {"dedup": {"threshold": 0.6}})


def test_nothing_changed_is_nothing_to_save(root: Path) -> None:
    with pytest.raises(SaveError, match="no field is changed"):
        save("mine", "quickstart", {})
    assert not list(root.iterdir())


def test_a_folder_that_is_not_there_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_ROOT", str(root / "away"))
    with pytest.raises(SaveError, match=r"away/mine\.yaml cannot be written"):
        save("mine", "quickstart", {"dedup": {"threshold": 0.7}})


def test_files_that_are_no_recipes_are_not_offered(root: Path) -> None:
    (root / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    (root / "broken.yaml").write_text("source: [\n")
    (root / "list.yml").write_text("- 1\n")
    (root / "settings.yaml").write_text("name: settings\n")
    (root / "notes.yml").write_text("source: {}\nclean: {}\n")
    (root / "dedup.yaml").mkdir()
    found = found_recipes()
    assert "quickstart" in found
    assert [name for name in found if name.endswith("ml")] == ["notes.yml"]
