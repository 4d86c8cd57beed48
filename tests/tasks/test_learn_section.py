"""The section `learn` of a recipe: how its model in use goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.engine.errors import RecipeError
from tasks.engine.store.store import Store
from tasks.learning.challenge import LearnError, challenge, training_stages
from tasks.recipe import load


def written(tmp_path: Path, *lines: str) -> str:
    file = tmp_path / "grown.yaml"
    file.write_text("\n".join(["extends: quickstart", "name: grown", *lines]))
    return str(file)


def test_its_fields_are_checked(tmp_path: Path) -> None:
    found = load(written(tmp_path, "learn: {replay: 0.7, new_tokens: 1e6}")).learn
    assert found is not None
    assert (found.replay, found.new_tokens) == (0.7, 1_000_000)
    with pytest.raises(RecipeError, match=r"grown\.yaml: learn\.replay"):
        load(written(tmp_path, "learn: {replay: 1.5}"))
    with pytest.raises(RecipeError, match=r"learn\.reply"):
        load(written(tmp_path, "learn: {reply: 0.5}"))
    with pytest.raises(RecipeError, match="learn"):
        load(written(tmp_path, "learn: 0.5"))


def test_a_field_is_set_where_the_recipe_has_no_such_section() -> None:
    assert load("quickstart").learn is None
    changed = load("quickstart", ["learn.margin=0.005"]).learn
    assert changed is not None
    assert changed.margin == 0.005


def test_a_refresh_leaves_training_to_it(tmp_path: Path) -> None:
    assert training_stages(load("quickstart")) == set()
    later = training_stages(load(written(tmp_path, "learn: {}")))
    assert later == {"pretrain", "sft", "dpo", "evaluate", "export", "report"}


def test_what_cannot_learn_says_why(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home"))
    with pytest.raises(LearnError, match="'grown' has no section evaluate"):
        challenge(load(written(tmp_path, "evaluate: null", "export: null", "report: null")), store)
    with pytest.raises(LearnError, match="'grown' has no pretrain as 'prod'"):
        challenge(load(written(tmp_path)), store)
