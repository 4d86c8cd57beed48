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

from pydantic import BaseModel, ValidationError

from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.engine.identity.snapshot import root
from tasks.recipe_yaml import parse
from tasks.registry import STAGES

SHIPPED = Path(__file__).resolve().parent.parent / "deployments" / "recipes"
_OWN_FIELDS = ("name", "description", "on_code_drift")
_DRIFT_POLICIES = ("warn", "rerun", "fail")
_LONGEST_NAME = 80
_SHOWN = 80


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
        f"no recipe {_format_value(name)}: neither a file nor one of {', '.join(shipped)}{hint}"
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
        f"{_key(key)}: no such stage or field{_near(str(key), known)}"
        for key in record
        if key not in known
    ]
    drift = record.get("on_code_drift", "warn")
    if drift not in _DRIFT_POLICIES:
        problems.append(
            f"on_code_drift: {_format_value(drift)} is not one of {', '.join(_DRIFT_POLICIES)}"
        )
    name = record.get("name") or path.stem
    if not _usable(name):
        problems.append(
            f"name: {_format_value(name)} is used in paths; letters, digits, - and _ only, "
            f"{_LONGEST_NAME} at most"
        )
    description = record.get("description") or ""
    if not isinstance(description, str):
        problems.append(f"description: a text was expected, found {_format_value(description)}")
    configs: dict[str, StageConfig] = {}
    for stage, declared in STAGES.items():
        if stage not in record:
            continue
        section = record[stage] if record[stage] is not None else {}
        if not isinstance(section, dict):
            problems.append(
                f"{stage}: a mapping of fields was expected, found {_format_value(section)}"
            )
            continue
        try:
            configs[stage] = declared.config.model_validate(section)
        except ValidationError as error:
            problems += _explain(stage, declared.config, error)
    if not configs and not problems:
        problems.append(f"no stage at all; add sections such as {', '.join(list(STAGES)[:3])}")
    if problems:
        raise RecipeError("\n".join(f"{path}: {problem}" for problem in problems))
    return Recipe(name, description, drift, configs)


def _usable(name: object) -> bool:
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return False
    return name.replace("-", "").replace("_", "").isalnum()


def _format_value(value: object) -> str:
    """What was found, for a message: one line, not a long one."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _key(key: object) -> str:
    """A key, or a step of a location, as a message names it: as written where that is readable."""
    text = str(key)
    return text if text.isprintable() and 0 < len(text) <= _SHOWN else _format_value(key)


def _set(record: dict[str, Any], change: str, path: Path) -> None:
    option = f"--set {_format_value(change)}"
    key, sign, text = change.partition("=")
    if not sign or "." not in key:
        raise RecipeError(f"{option}: write it as stage.field=value")
    value = parse(text, option)
    *steps, last = key.split(".")
    if steps[0] not in record:
        have = ", ".join(stage for stage in STAGES if stage in record)
        raise RecipeError(f"{option}: {path} has no stage {_format_value(steps[0])}; it has {have}")
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
            f"{option}: {_format_value(steps[-1])} is {_format_value(place)}, which has no fields"
        )


def _step(place: Any, step: str, option: str) -> Any:
    if isinstance(place, dict):
        return place[step]
    # Not every digit of Unicode is one to `int`, nor is a number of any length.
    index = int(step) if step.isascii() and step.isdigit() and len(step) < 10 else None
    if isinstance(place, list) and index is not None and index < len(place):
        return place[index]
    raise RecipeError(f"{option}: there is nothing at {_format_value(step)}")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 2)
    # A minimum and a maximum of one thing: both, for the nearer one may be the opposite.
    ends = {candidate.partition("_")[2] for candidate in near}
    near = near if len(near) > 1 and len(ends) == 1 and ends != {""} else near[:1]
    meant = " or ".join(map(repr, near))
    return f"; did you mean {meant}?" if near else f"; there are {', '.join(known)}"


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


def _explain(stage: str, config: type[StageConfig], error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        where = ".".join([stage, *(_key(step) for step in problem["loc"])])
        if problem["type"] == "extra_forbidden":
            step = str(problem["loc"][-1])
            fields = _fields(config, problem["loc"][:-1])
            lines.append(f"{where}: no such field{_near(step, fields)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            # Of a rule over several fields the input is the whole section.
            found = (
                ""
                if isinstance(problem["input"], dict)
                else f" (found {_format_value(problem['input'])})"
            )
            lines.append(f"{where}: {' '.join(message.split())}{found}")
    return lines
