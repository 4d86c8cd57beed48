"""A recipe: one YAML file with a section a stage; what is left out is not run.

    name: mine
    source: {sources: [{name: notes, paths: [notes/**/*.html]}]}
    clean: {}
    ...

`extends: NAME` lays it over another, see `recipe_files`. Every error names the file, the field,
what was found there and what would do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.approval_limits import LimitError, limits_of
from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.learn_section import LearnConfig
from tasks.recipe_files import OWN_FIELDS, Layers, layers, read_record, recipe_path
from tasks.registry import STAGES
from tasks.settings_files.field_errors import did_you_mean, explain, format_key, format_value
from tasks.settings_files.yaml_text import parse

_DRIFT_POLICIES = ("warn", "rerun", "fail")
LONGEST_NAME = 80
_LEARN = "learn"


@dataclass(frozen=True)
class Recipe:
    """A validated recipe.

    Attributes:
        on_code_drift: what to do when code changed under an unchanged stage version.
        approve_above: what a run may take before somebody is asked, see `approval_limits`; "" =
            anything.
        learn: how its model in use goes on learning; `None` where it has no such section.
        configs: of the stages it has, by stage name.
        hold: stages that keep what they learned from the corpus when there is more of it.
    """

    name: str
    description: str
    on_code_drift: str
    configs: Mapping[str, StageConfig]
    approve_above: str = ""
    learn: LearnConfig | None = None
    hold: tuple[str, ...] = ()


def load(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        name: of a shipped recipe, or the path of a YAML file.
        changes: `stage.field=value` in order; values are YAML, list items by index.

    Raises:
        RecipeError: it cannot be read, or a field does not validate.
    """
    path = recipe_path(name)
    found = layers(read_record(path), path)
    for change in changes:
        _set(found, change)
    return _validated(found)


def recipe_name(recipe: str) -> str:
    """The name a recipe's pointers are kept under, from what a person types: name or file."""
    try:
        return load(recipe).name
    except RecipeError:
        if recipe.replace("-", "").replace("_", "").isalnum():
            return recipe  # its file may be gone, what was built by it is not
        raise


def load_changed(path: Path, changes: Mapping[str, Any], where: str) -> Recipe:
    """Read a recipe, write fields, validate.

    Args:
        changes: value by `stage.field`; or by stage: null takes it out, a mapping adds it or
            writes several of its fields.
        where: what asks for the changes, for messages.

    Raises:
        RecipeError: it cannot be read or changed, or a field does not validate.
    """
    found = layers(read_record(path), path)
    for key, value in changes.items():
        option = f"{where}: {format_key(key)}"
        if "." in key:
            set_field(found, key, value, option)
        elif value is None and key in found.record:
            del found.record[key]
        elif isinstance(value, dict):
            if found.record.get(key) is None:
                found.record[key] = {}
            for name, inner in value.items():
                set_field(found, f"{key}.{name}", inner, option)
        else:
            raise RecipeError(
                f"{option}: write it as stage.field: value, as stage: null to take out a stage "
                "the recipe has, or as stage: {field: value} to add one"
            )
    return _validated(found)


def validate_recipe(record: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe in a parsed YAML mapping; `path` is what it extends others from, and for messages.

    Raises:
        RecipeError: a field, or one of those it extends, does not validate.
    """
    return _validated(layers(record, path))


def _validated(found: Layers) -> Recipe:
    record = found.record
    problems: list[str] = []

    def report(problem: str, *place: int | str) -> None:
        problems.append(f"{found.file_of(place)}: {problem}")

    known = [*OWN_FIELDS, *STAGES]
    for key in record:
        if key not in known:
            report(f"{format_key(key)}: no such stage or field{did_you_mean(str(key), known)}", key)
    drift = record.get("on_code_drift", "warn")
    if drift not in _DRIFT_POLICIES:
        report(
            f"on_code_drift: {format_value(drift)} is not one of {', '.join(_DRIFT_POLICIES)}",
            "on_code_drift",
        )
    approve_above = record.get("approve_above") or ""
    try:
        limits_of(approve_above)
    except LimitError as error:
        report(str(error), "approve_above")
    learn: LearnConfig | None = None
    if record.get(_LEARN) is not None:
        try:
            learn = LearnConfig.model_validate(record[_LEARN])
        except ValidationError as error:
            for line in explain(_LEARN, LearnConfig, error):
                report(line, _LEARN)
    name = record.get("name") or found.path.stem
    if not usable_name(name):
        report(
            f"name: {format_value(name)} is used in paths; letters, digits, - and _ only, "
            f"{LONGEST_NAME} at most"
        )
    description = record.get("description") or ""
    if not isinstance(description, str):
        report(f"description: a text was expected, found {format_value(description)}")
    hold = record.get("hold") or []
    for wrong in _hold_problems(hold, record):
        report(f"hold: {wrong}", "hold")
    configs: dict[str, StageConfig] = {}
    for stage, declared in STAGES.items():
        if stage not in record:
            continue
        section = record[stage] if record[stage] is not None else {}
        if not isinstance(section, dict):
            report(
                f"{stage}: a mapping of fields was expected, found {format_value(section)}", stage
            )
            continue
        try:
            configs[stage] = declared.config.model_validate(section)
        except ValidationError as error:
            lines = explain(stage, declared.config, error)
            for line, problem in zip(lines, error.errors(), strict=True):
                report(line, stage, *problem["loc"])
    if not configs and not problems:
        report(f"no stage at all; add sections such as {', '.join(list(STAGES)[:3])}")
    if problems:
        raise RecipeError("\n".join(problems))
    return Recipe(name, description, drift, configs, approve_above, learn, tuple(hold))


def _hold_problems(hold: object, record: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the stages a recipe holds."""
    can = [name for name, stage in STAGES.items() if stage.can_be_held]
    if not isinstance(hold, list):
        yield f"a list of stages was expected, such as [{', '.join(can)}], found " + (
            format_value(hold)
        )
        return
    for name in hold:
        if name not in can:
            yield f"{format_value(name)} learns nothing from the corpus; {', '.join(can)} do"
        elif name not in record:
            yield f"the recipe has no stage {name}; add the section, or take it out of `hold`"


def usable_name(name: object) -> bool:
    """Whether a recipe may be called so: pointers and files are named by it."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        return False
    return name.replace("-", "").replace("_", "").isalnum()


def _set(found: Layers, change: str) -> None:
    option = f"--set {format_value(change)}"
    key, sign, text = change.partition("=")
    if not sign or "." not in key:
        raise RecipeError(f"{option}: write it as stage.field=value")
    if key.startswith(f"{_LEARN}."):  # of a recipe that leaves all of it as it is
        found.record[_LEARN] = found.record.get(_LEARN) or {}
    set_field(found, key, parse(text, option), option)


def set_field(found: Layers, key: str, value: Any, option: str) -> None:
    """Write one field, in place.

    Args:
        key: `stage.field`, deeper with more steps; items of lists by index.
        option: where the change is asked for, for messages.

    Raises:
        RecipeError: there is no such stage, or nothing to write to.
    """
    record = found.record
    *steps, last = key.split(".")
    if steps[0] not in record:
        have = ", ".join(stage for stage in STAGES if stage in record)
        raise RecipeError(
            f"{option}: {found.path} has no stage {format_value(steps[0])}; it has {have}"
        )
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
    found.origins[tuple(_numbered(each) for each in (*steps, last))] = found.path


def _numbered(step: str) -> int | str:
    # Not every digit of Unicode is one to `int`, nor is a number of any length.
    return int(step) if step.isascii() and step.isdigit() and len(step) < 10 else step


def _step(place: Any, step: str, option: str) -> Any:
    if isinstance(place, dict):
        return place[step]
    index = _numbered(step)
    if isinstance(place, list) and isinstance(index, int) and index < len(place):
        return place[index]
    raise RecipeError(f"{option}: there is nothing at {format_value(step)}")
