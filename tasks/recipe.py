"""A recipe: one YAML file with a section a stage; what is left out is not run.

    name: mine
    source: {sources: [{name: notes, paths: [notes/**/*.html]}]}
    clean: {}
    ...

Every error names the file, the field, what was found there and what would do.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.engine.identity.snapshot import root
from tasks.registry import STAGES
from tasks.settings_files.field_errors import did_you_mean, explain, format_key, format_value
from tasks.settings_files.yaml_text import parse

SHIPPED = Path(__file__).resolve().parent.parent / "deployments" / "recipes"
_OWN_FIELDS = ("name", "description", "on_code_drift")
_DRIFT_POLICIES = ("warn", "rerun", "fail")
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Recipe:
    """A validated recipe.

    Attributes:
        configs: of the stages it has, by stage name.
        on_code_drift: what to do when code changed under an unchanged stage version.
    """

    name: str
    description: str
    on_code_drift: str
    configs: Mapping[str, StageConfig]


def recipe_path(name: str) -> Path:
    """The file a recipe name or path means.

    Raises:
        RecipeError: there is none; lists the shipped ones.
    """
    for candidate in (root() / name, SHIPPED / f"{name}.yaml"):
        with contextlib.suppress(OSError):  # a name no file can have
            if candidate.is_file():
                return candidate
    shipped = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    near = difflib.get_close_matches(name, shipped, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise RecipeError(
        f"no recipe {format_value(name)}: neither a file nor one of {', '.join(shipped)}{hint}"
    )


def load(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        name: of a shipped recipe, or the path of a YAML file.
        changes: `stage.field=value` in order; values are YAML, list items by index.

    Raises:
        RecipeError: it cannot be read, or a field does not validate.
    """
    path = recipe_path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    record = parse(text, str(path))
    if not isinstance(record, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of stage names to fields")
    for change in changes:
        _set(record, change, path)
    return validate_recipe(record, path)


def validate_recipe(record: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe in a parsed YAML mapping; `path` is for messages."""
    problems: list[str] = []
    known = [*_OWN_FIELDS, *STAGES]
    problems += [
        f"{format_key(key)}: no such stage or field{did_you_mean(str(key), known)}"
        for key in record
        if key not in known
    ]
    drift = record.get("on_code_drift", "warn")
    if drift not in _DRIFT_POLICIES:
        problems.append(
            f"on_code_drift: {format_value(drift)} is not one of {', '.join(_DRIFT_POLICIES)}"
        )
    name = record.get("name") or path.stem
    if not _usable(name):
        problems.append(
            f"name: {format_value(name)} is used in paths; letters, digits, - and _ only, "
            f"{_LONGEST_NAME} at most"
        )
    description = record.get("description") or ""
    if not isinstance(description, str):
        problems.append(f"description: a text was expected, found {format_value(description)}")
    configs: dict[str, StageConfig] = {}
    for stage, declared in STAGES.items():
        if stage not in record:
            continue
        section = record[stage] if record[stage] is not None else {}
        if not isinstance(section, dict):
            problems.append(
                f"{stage}: a mapping of fields was expected, found {format_value(section)}"
            )
            continue
        try:
            configs[stage] = declared.config.model_validate(section)
        except ValidationError as error:
            problems += explain(stage, declared.config, error)
    if not configs and not problems:
        problems.append(f"no stage at all; add sections such as {', '.join(list(STAGES)[:3])}")
    if problems:
        raise RecipeError("\n".join(f"{path}: {problem}" for problem in problems))
    return Recipe(name, description, drift, configs)


def _usable(name: object) -> bool:
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return False
    return name.replace("-", "").replace("_", "").isalnum()


def _set(record: dict[str, Any], change: str, path: Path) -> None:
    option = f"--set {format_value(change)}"
    key, sign, text = change.partition("=")
    if not sign or "." not in key:
        raise RecipeError(f"{option}: write it as stage.field=value")
    value = parse(text, option)
    *steps, last = key.split(".")
    if steps[0] not in record:
        have = ", ".join(stage for stage in STAGES if stage in record)
        raise RecipeError(f"{option}: {path} has no stage {format_value(steps[0])}; it has {have}")
    place: Any = record
    for step in steps:
        if isinstance(place, dict) and place.get(step) is None:
            place[step] = {}
        place = _step(place, step, option)
    if isinstance(place, list):
        _step(place, last, option)
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(
            f"{option}: {format_value(steps[-1])} is {format_value(place)}, which has no fields"
        )


def _step(place: Any, step: str, option: str) -> Any:
    if isinstance(place, dict):
        return place[step]
    # Not every digit of Unicode is one to `int`, nor is a number of any length.
    index = int(step) if step.isascii() and step.isdigit() and len(step) < 10 else None
    if isinstance(place, list) and index is not None and index < len(place):
        return place[index]
    raise RecipeError(f"{option}: there is nothing at {format_value(step)}")
