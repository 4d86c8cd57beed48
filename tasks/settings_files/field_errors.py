"""What is wrong with a field, in words: where it is, what was found there, what would do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

_SHOWN = 80
# Of a URL what logs in, and what signs it: messages are kept, in logs and records of runs.
_LOGIN = re.compile(r"(?<=://)[^/\s'\"]*@")
_SIGNED = re.compile(r"(?i)((?:signature|security-token|sig|token|key)=)[^&\s'\"]+")


def format_value(value: object) -> str:
    """What was found, for a message: one line, not a long one."""
    text = _SIGNED.sub(r"\1...", _LOGIN.sub("...@", repr(value)))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def format_key(key: object) -> str:
    """A key, or a step of a location, as a message names it: as written where that is readable."""
    text = str(key)
    return text if text.isprintable() and 0 < len(text) <= _SHOWN else format_value(key)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of a message on a name that is none: the nearest that is one, or all there are."""
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


def explain(section: str, model: type[BaseModel], error: ValidationError) -> list[str]:
    """A line a field.

    Args:
        section: what the fields belong to, before their names; "" = the names alone.
    """
    lines = []
    for problem in error.errors():
        steps = [*filter(None, [section]), *(format_key(step) for step in problem["loc"])]
        where = f"{'.'.join(steps)}: " if steps else ""
        if problem["type"] == "extra_forbidden":
            step = str(problem["loc"][-1])
            fields = _fields(model, problem["loc"][:-1])
            lines.append(f"{where}no such field{did_you_mean(step, fields)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            # Of a rule over several fields the input is the whole section.
            found = (
                ""
                if isinstance(problem["input"], dict)
                else f" (found {format_value(problem['input'])})"
            )
            lines.append(f"{where}{' '.join(message.split())}{found}")
    return lines
