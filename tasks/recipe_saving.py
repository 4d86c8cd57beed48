"""Keeping what was changed for one run: a recipe that extends the one it was changed in.

extends: quickstart
dedup: {threshold: 0.7}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tasks.engine.config import StageConfig
from tasks.engine.errors import IngotError
from tasks.engine.identity.snapshot import root
from tasks.recipe import LONGEST_NAME, Recipe, usable_name
from tasks.recipe_files import SHIPPED, recipe_path
from tasks.registry import STAGES
from tasks.settings_files.field_errors import format_value

Changed = Mapping[str, Mapping[str, Any]]


class SaveError(IngotError):
    """A recipe cannot be saved under the name asked for; says why, and what would do."""


def changed_by(changes: Sequence[str], loaded: Recipe) -> Changed:
    """The fields that changes as `stage.field=value` name, with the values they came to.

    Args:
        loaded: the recipe with these changes.
    """
    found: dict[str, dict[str, Any]] = {}
    for change in changes:
        stage, field = change.partition("=")[0].split(".")[:2]
        value = loaded.configs[stage].model_dump(mode="json", include={field})
        found.setdefault(stage, {}).update(value)
    return found


def changed_fields(before: Recipe, configs: Mapping[str, StageConfig]) -> Changed:
    """The fields, as JSON values, in which configs are not what a recipe says, by stage.

    Of a stage that the recipe has not: those that are not at their defaults.
    """
    found: dict[str, dict[str, Any]] = {}
    for stage, config in configs.items():
        was = before.configs.get(stage)
        if was is None:
            found[stage] = config.model_dump(mode="json", exclude_defaults=True)
        elif was != config:
            old, now = was.model_dump(mode="json"), config.model_dump(mode="json")
            found[stage] = {name: value for name, value in now.items() if value != old[name]}
    return found


def save(name: str, base: str, changed: Changed) -> str:
    """Write a recipe of its own for changed fields, in the root folder; what `--recipe` takes.

    One that is there already and says the same is as good.

    Args:
        base: what the recipe that it extends was loaded by.
        changed: JSON values of fields, by stage.

    Raises:
        SaveError: the name is no plain one, or another recipe has it; nothing was changed; or the
            file cannot be written.
    """
    if not usable_name(name):
        raise SaveError(
            f"save_as: {format_value(name)} is to be the name of a file; letters, digits, - and _ "
            f"only, {LONGEST_NAME} at most"
        )
    if (SHIPPED / f"{name}.yaml").exists():
        raise SaveError(f"save_as: {name} comes with Ingot; choose another name")
    if not changed:
        raise SaveError(
            f"save_as: no field is changed, so {name} would be {base}; change one (--set "
            "stage.field=value), or leave save_as out"
        )
    path, text = root() / f"{name}.yaml", _text(base, changed)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        if path.read_text(encoding="utf-8", errors="replace") != text:
            raise SaveError(
                f"save_as: {path} is there already; run it with --recipe {path.name}, choose "
                "another name, or remove it"
            ) from error
    except OSError as error:
        raise SaveError(
            f"save_as: {path} cannot be written: {error.strerror}; set INGOT_ROOT to a folder you "
            "may write in"
        ) from error
    return path.name


def _text(base: str, changed: Changed) -> str:
    found, own = recipe_path(base), root()
    if found.parent == SHIPPED and not (own / base).exists():
        extended = found.stem
    elif found.is_relative_to(own):
        extended = found.relative_to(own).as_posix()
    else:
        extended = str(found.resolve())
    sections = {stage: dict(changed[stage]) for stage in STAGES if stage in changed}
    return yaml.safe_dump(
        {"extends": extended, **sections}, sort_keys=False, allow_unicode=True, width=100
    )
