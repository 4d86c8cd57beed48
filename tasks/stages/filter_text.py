"""Rules and groups of `filter` in one line each, as forms show them and recipes may state them.

    language in en, de                    docs
    50 <= word_count <= 100000            docs as manuals
    docs: alphabetic_word_fraction >= 0.4 web-en where sources crawl, news; languages en
    quality_score best 0.9                none as talk where page_types forum

What no such line can say (a value with a comma in it) is a line of JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

RULE_FORMS = (
    "column >= 50, column <= 3, 1 <= column <= 9, column in en, de, column best 0.9 (that share of "
    "all documents); group: in front makes it a rule of that group, in place of the preset's on "
    "the column; as NAME behind gives its reason another name"
)
GROUP_FORMS = (
    "preset, preset as NAME, preset where sources a, b; page_types article; languages en; none in "
    "place of the preset for one that has rules of your own alone"
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NAME = r"[A-Za-z0-9_-]+"
_CONDITIONS = (
    rf"(?P<minimum>{_NUMBER}) *<= *(?P<column>\w+) *<= *(?P<maximum>{_NUMBER})",
    rf"(?P<column>\w+) *>= *(?P<minimum>{_NUMBER})",
    rf"(?P<column>\w+) *<= *(?P<maximum>{_NUMBER})",
    rf"(?P<column>\w+) +best +(?P<keep_fraction>{_NUMBER})",
    r"(?P<column>\w+) +in +(?P<allowed>.+?)",
)
_RULES = [
    re.compile(rf"(?:(?P<group>{_NAME}): *)?{condition}(?: +as +(?P<name>{_NAME}))?")
    for condition in _CONDITIONS
]
_GROUP = re.compile(rf"(?P<preset>{_NAME})(?: +as +(?P<name>{_NAME}))?(?: +where +(?P<where>.+))?")
_CHOICES = ("sources", "page_types", "languages")
NO_PRESET = "none"


def rule_fields(text: str) -> dict[str, Any]:
    """The fields of a rule stated in one line.

    Raises:
        ValueError: it is of none of the forms.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text)
    for form in _RULES:
        found = form.fullmatch(text.strip())
        if found:
            fields: dict[str, Any] = {key: text for key, text in found.groupdict().items() if text}
            if "allowed" in fields:
                fields["allowed"] = _words(fields["allowed"])
            for key in ("minimum", "maximum", "keep_fraction"):
                if key in fields:
                    fields[key] = float(fields[key])
            return fields
    raise ValueError(f"{text!r} is no rule; write {RULE_FORMS}")


def group_fields(text: str) -> dict[str, Any]:
    """The fields of a group stated in one line.

    Raises:
        ValueError: it is of none of the forms.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text)
    found = _GROUP.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no group; write {GROUP_FORMS}")
    fields: dict[str, Any] = {"preset": found["preset"], "name": found["name"] or ""}
    if fields["preset"] == NO_PRESET:
        fields["preset"] = ""
    for choice in (found["where"] or "").split(";"):
        name, _, values = choice.strip().partition(" ")
        if name in _CHOICES and values.strip():
            fields[name] = _words(values)
        elif name:
            raise ValueError(f"{choice.strip()!r} names no documents; write {GROUP_FORMS}")
    return fields


def rule_line(fields: Mapping[str, Any]) -> str:
    """A rule in one line that `rule_fields` reads as it was.

    Args:
        fields: those that are not at their defaults.
    """
    column = fields["column"]
    limits = {side: _number(fields[side]) for side in ("minimum", "maximum") if side in fields}
    if "allowed" in fields:
        said = f"{column} in {', '.join(fields['allowed'])}"
    elif "keep_fraction" in fields:
        said = f"{column} best {_number(fields['keep_fraction'])}"
    elif len(limits) == 2:
        said = f"{limits['minimum']} <= {column} <= {limits['maximum']}"
    else:
        ((side, limit),) = limits.items()
        said = f"{column} {'>=' if side == 'minimum' else '<='} {limit}"
    group, name = fields.get("group"), fields.get("name")
    line = f"{group}: {said}" if group else said
    line = f"{line} as {name}" if name else line
    return line if _reads(rule_fields, line, fields) else json.dumps(dict(fields))


def group_line(fields: Mapping[str, Any]) -> str:
    """A group in one line that `group_fields` reads as it was.

    Args:
        fields: those that are not at their defaults.
    """
    line = fields.get("preset") or NO_PRESET
    if fields.get("name"):
        line += f" as {fields['name']}"
    where = [f"{key} {', '.join(fields[key])}" for key in _CHOICES if fields.get(key)]
    line += f" where {'; '.join(where)}" if where else ""
    return line if _reads(group_fields, line, fields) else json.dumps(dict(fields))


def _reads(parse: Callable[[str], dict[str, Any]], line: str, fields: Mapping[str, Any]) -> bool:
    try:
        read = parse(line)
    except ValueError:
        return False
    return {key: value for key, value in read.items() if value != ""} == dict(fields)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _number(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _from_json(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no JSON: {error}") from error
    return found
