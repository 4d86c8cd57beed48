"""A recipe: one YAML file with a section a stage; what is left out is not run.

    name: mine
    source: {sources: [{name: notes, paths: [notes/**/*.html]}]}
    clean: {}
    ...

Every error names the file, the field, what was found there and what would do.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.engine.snapshot import root
from tasks.registry import STAGES

SHIPPED = Path(__file__).resolve().parent.parent / "deployments" / "recipes"
_OWN_FIELDS = ("name", "description", "on_code_drift")
_DRIFT_POLICIES = ("warn", "rerun", "fail")


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
        if candidate.is_file():
            return candidate
    shipped = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    near = difflib.get_close_matches(name, shipped, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise RecipeError(f"no recipe {name!r}: neither a file nor one of {', '.join(shipped)}{hint}")


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
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(record, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of stage names to fields")
    for change in changes:
        _set(record, change, path)
    return validated(record, path)


def validated(record: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe in a parsed YAML mapping; `path` is for messages."""
    problems: list[str] = []
    known = [*_OWN_FIELDS, *STAGES]
    problems += [
        f"{key}: no such stage or field{_near(str(key), known)}"
        for key in record
        if key not in known
    ]
    drift = record.get("on_code_drift", "warn")
    if drift not in _DRIFT_POLICIES:
        problems.append(f"on_code_drift: {drift!r} is not one of {', '.join(_DRIFT_POLICIES)}")
    name = record.get("name") or path.stem
    if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum():
        problems.append(f"name: {name!r} is used in paths; letters, digits, - and _ only")
    configs: dict[str, StageConfig] = {}
    for stage, declared in STAGES.items():
        if stage not in record:
            continue
        section = record[stage] if record[stage] is not None else {}
        if not isinstance(section, dict):
            problems.append(f"{stage}: a mapping of fields was expected, found {section!r}")
            continue
        try:
            configs[stage] = declared.config.model_validate(section)
        except ValidationError as error:
            problems += _explained(stage, declared.config, error)
    if not configs and not problems:
        problems.append(f"no stage at all; add sections such as {', '.join(list(STAGES)[:3])}")
    if problems:
        raise RecipeError("\n".join(f"{path}: {problem}" for problem in problems))
    return Recipe(name, str(record.get("description", "")), drift, configs)


def _set(record: dict[str, Any], change: str, path: Path) -> None:
    key, sign, text = change.partition("=")
    if not sign or "." not in key:
        raise RecipeError(f"--set {change!r}: write it as stage.field=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change!r}: the value is not YAML: {error}") from error
    *steps, last = key.split(".")
    if steps[0] not in record:
        have = ", ".join(stage for stage in STAGES if stage in record)
        raise RecipeError(f"--set {change!r}: {path} has no stage {steps[0]!r}; it has {have}")
    place: Any = record
    for step in steps:
        if isinstance(place, dict) and place.get(step) is None:
            place[step] = {}
        place = _step(place, step, change)
    if isinstance(place, list):
        _step(place, last, change)
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f"--set {change!r}: {steps[-1]!r} is {place!r}, which has no fields")


def _step(place: Any, step: str, change: str) -> Any:
    if isinstance(place, dict):
        return place[step]
    if isinstance(place, list) and step.isdigit() and int(step) < len(place):
        return place[int(step)]
    raise RecipeError(f"--set {change!r}: there is nothing at {step!r}")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def _fields(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The fields of the (nested) model a location lies in."""
    current = model
    for step in location:
        if isinstance(step, int):
            continue
        field = current.model_fields.get(step)
        if field is None:
            break
        inner = getattr(field.annotation, "__args__", (field.annotation,))[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            current = inner
    return list(current.model_fields)


def _explained(stage: str, config: type[StageConfig], error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        where = ".".join([stage, *(str(step) for step in problem["loc"])])
        if problem["type"] == "extra_forbidden":
            step = str(problem["loc"][-1])
            fields = _fields(config, problem["loc"][:-1])
            lines.append(f"{where}: no such field{_near(step, fields)}")
        else:
            said = problem["msg"].removeprefix("Value error, ")
            # Of a rule over several fields the input is the whole section.
            found = "" if isinstance(problem["input"], dict) else f" (found {problem['input']!r})"
            lines.append(f"{where}: {said}{found}")
    return lines
