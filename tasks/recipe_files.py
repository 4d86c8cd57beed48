"""The YAML of a recipe, with that of the recipes it extends beneath it.

    extends: quickstart
    dedup: {threshold: 0.7}     # this field differs
    export: null                # this stage is taken out

Mappings are merged field by field, lists and values replaced. Name and description are a file's
own: under one name two recipes would move each other's pointers.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.engine.errors import RecipeError
from tasks.engine.identity.snapshot import root
from tasks.settings_files.field_errors import format_value
from tasks.settings_files.yaml_text import parse

SHIPPED = Path(__file__).resolve().parent.parent / "deployments" / "recipes"
_EXTENDS = "extends"
_OF_THE_FILE = ("name", "description")
OWN_FIELDS = (*_OF_THE_FILE, "on_code_drift", "approve_above", "learn", "hold", _EXTENDS)
_Place = tuple[int | str, ...]


class UnknownBaseError(RecipeError):
    """A recipe extends one that is not there; names the file, and those there are."""


class BaseCycleError(RecipeError):
    """A recipe extends, over whatever others, itself; names them all."""


@dataclass(frozen=True)
class Layers:
    """What a recipe and all that it extends come to.

    Attributes:
        path: of the recipe itself.
        record: the fields, `extends` no longer among them.
        origins: the file of each field that another wrote, by its place; a place that stands in
            none, and in nothing that does, is the recipe's own.
    """

    path: Path
    record: dict[str, Any]
    origins: dict[_Place, Path]

    def file_of(self, place: Sequence[int | str]) -> Path:
        """The file in which the value at this place, or what holds it, is written."""
        for end in range(len(place), 0, -1):
            found = self.origins.get(tuple(place[:end]))
            if found is not None:
                return found
        return self.path


def recipe_path(name: str, beside: Path | None = None) -> Path:
    """The file a recipe name or path means.

    Args:
        beside: a folder in which a relative path is looked up first.

    Raises:
        RecipeError: there is none; lists the shipped ones, and says where files are looked for.
    """
    places = [root() / name, SHIPPED / f"{name}.yaml"]
    for candidate in [beside / name, *places] if beside is not None else places:
        with contextlib.suppress(OSError, ValueError):  # a name no file can have
            if candidate.is_file():
                return candidate
    shipped = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    own = sorted(path.name for path in root().glob("*.yaml"))
    near = difflib.get_close_matches(name, [*shipped, *own], 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise RecipeError(
        f"no recipe {format_value(name)}: neither a file, which is looked for from {root()}, nor "
        f"one of {', '.join(shipped)}{hint}"
    )


def read_record(path: Path) -> dict[str, Any]:
    """The mapping a recipe file holds.

    Raises:
        RecipeError: it cannot be read, is no YAML, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    record = parse(text, str(path))
    if not isinstance(record, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of stage names to fields")
    return record


def layers(record: Mapping[str, Any], path: Path) -> Layers:
    """A recipe's fields over those of what it extends.

    Args:
        record: of the file at `path`.

    Raises:
        UnknownBaseError, BaseCycleError
        RecipeError: a base cannot be read; or a stage is taken out that no base has.
    """
    stack = [(path, dict(record))]
    while _EXTENDS in stack[-1][1]:
        file, fields = stack[-1]
        base = _base(fields.pop(_EXTENDS), file)
        files = [each for each, _ in stack]
        if base.resolve() in [each.resolve() for each in files]:
            ring = " -> ".join(str(each) for each in [*files, base])
            raise BaseCycleError(
                f"{path}: {_EXTENDS}: a recipe cannot extend itself: {ring}; remove one of them"
            )
        stack.append((base, read_record(base)))
    (file, merged), *above = reversed(stack)
    origins = {place: file for place in _places(merged) if file != path}
    for file, fields in above:
        for name in _OF_THE_FILE:
            merged.pop(name, None)
        _take_out(merged, fields, file)
        merged = _merged(merged, fields)
        for place in _places(fields):
            origins[place] = file
    # What the recipe itself says, or has no more, is nobody else's.
    there = set(_places(merged))
    kept = {place: file for place, file in origins.items() if place in there and file != path}
    return Layers(path, merged, kept)


def _base(name: object, file: Path) -> Path:
    if not isinstance(name, str):
        raise RecipeError(
            f"{file}: {_EXTENDS}: the name or path of a recipe was expected, found "
            f"{format_value(name)}"
        )
    try:
        return recipe_path(name, file.parent)
    except RecipeError as error:
        raise UnknownBaseError(f"{file}: {_EXTENDS}: {error}") from error


def _take_out(below: dict[str, Any], fields: dict[str, Any], file: Path) -> None:
    """Stages that are set to null, from both."""
    nulls = [key for key, value in fields.items() if value is None and key not in OWN_FIELDS]
    for key in nulls:
        if key not in below:
            raise RecipeError(
                f"{file}: {key}: null takes a stage out, and what this recipe extends has none of "
                "that name; remove the line, or write {} for a stage with its defaults"
            )
        del below[key], fields[key]


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            value = _merged(under, value)
        found[key] = value
    return found


def _places(record: Mapping[str, Any], within: _Place = ()) -> Iterator[_Place]:
    """Of every value and every mapping in a record, lists taken as one value."""
    for key, value in record.items():
        yield (*within, key)
        if isinstance(value, dict):
            yield from _places(value, (*within, key))
