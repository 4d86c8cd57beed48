"""`run.json`, what a launched process is told, read into frozen dataclasses.

Nothing may be missing, nothing unknown, and every value is of its field's type, or one of the
values of its `Literal`. A float may be
written as a whole number, as JSON has no difference; true and false are no numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from llm.errors import ExpectedError

Made = TypeVar("Made")
_PLAIN: Mapping[type, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    str: (str,),
    Path: (str,),
}


class RunFileError(ExpectedError, ValueError):
    """A run file is not what it should be; names the file and the field."""


def read_record(path: Path) -> dict[str, Any]:
    """The object in a run file.

    Raises:
        RunFileError: there is no such file, or it is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFileError(f"{path}: no readable run file: {error}") from error
    if not isinstance(found, dict):
        raise RunFileError(f"{path}: must be an object, found {found!r}")
    return found


def from_record(kind: type[Made], record: Any, where: str, at: str = "") -> Made:
    """A dataclass from the values of its fields; nested dataclasses, lists and tuples too.

    Args:
        where: the file, for messages; `at`: the path to this object in it, with a dot behind.

    Raises:
        RunFileError: names the file and the field.
    """
    hints = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(record, dict):
        raise RunFileError(f"{where}: {at.rstrip('.')} must be an object, found {record!r}")
    for name in sorted(record.keys() - hints.keys()):
        raise RunFileError(f"{where}: no such field: {at}{name}; there are {', '.join(hints)}")
    for name in sorted(hints.keys() - record.keys()):
        raise RunFileError(f"{where}: missing field: {at}{name}")
    values = {}
    for name, hint in hints.items():
        values[name] = _value(hint, record[name], where, f"{at}{name}")
    return kind(**values)


def _value(hint: Any, value: Any, where: str, name: str) -> Any:
    if is_dataclass(hint):
        return from_record(hint, value, where, f"{name}.")  # type: ignore[arg-type]
    container = get_origin(hint)
    if container is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(get_args(hint))
            raise RunFileError(f"{where}: {name} is {value!r}; it is one of {allowed}")
        return value
    if container in (list, tuple):
        if not isinstance(value, list):
            raise RunFileError(f"{where}: {name} must be a list, found {value!r}")
        inner = get_args(hint)[0]
        return container(
            _value(inner, item, where, f"{name}.{place}") for place, item in enumerate(value)
        )
    accepted = _PLAIN[hint]
    if not isinstance(value, accepted) or isinstance(value, bool) != (hint is bool):
        wanted = accepted[0].__name__
        raise RunFileError(f"{where}: {name} must be {wanted}, found {value!r}")
    return hint(value)
