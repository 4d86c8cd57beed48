"""A stage's config with fields set otherwise, from what a person types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tasks.engine.config import StageConfig
from tasks.engine.errors import IngotError
from tasks.settings_files.field_errors import did_you_mean, explain, format_value
from tasks.settings_files.yaml_text import parse


class ChangeError(IngotError):
    """A change names no field, or a value that the field does not take."""


def changed(stage: str, config: StageConfig, changes: Sequence[str]) -> StageConfig:
    """The config with changes made, in order.

    Args:
        changes: `field=value`, deeper with more steps, items of lists by index; an item with a
            name of its own, such as a rule, also by that: `word_count.minimum=30`, and
            `word_count=null` takes it out.

    Raises:
        ChangeError: one is none, or nothing changes.
    """
    record: dict[str, Any] = config.model_dump(mode="json")
    try:
        for change in changes:
            key, sign, text = change.partition("=")
            key = key.removeprefix(f"{stage}.")
            option = f"--set {format_value(change)}"
            if not sign or not key:
                raise ChangeError(f"{option}: write it as field=value, a field of {stage}")
            steps = key.split(".")
            if steps[0] not in record and steps[0] not in _by_label(record):
                # Of what is ready-made, when nothing of the settings themselves is called so.
                spelled = type(config).model_validate(record).spelled_out()
                record = spelled.model_dump(mode="json")
            _write(stage, record, steps, parse(text, option), option)
        found = type(config).model_validate(record)
    except ValidationError as error:
        raise ChangeError("\n".join(explain(stage, type(config), error))) from error
    if found.spelled_out().identity() == config.spelled_out().identity():
        raise ChangeError(f"{stage}: {', '.join(changes)} is what it was built with: no change")
    return found


def _write(stage: str, record: dict[str, Any], steps: list[str], value: Any, option: str) -> None:
    place: Any = record
    if steps[0] not in record:
        named = _by_label(record)
        if steps[0] not in named:
            near = did_you_mean(steps[0], [*record, *named])
            raise ChangeError(f"{option}: {stage} has no {format_value(steps[0])}{near}")
        place, index = named[steps[0]]
        if len(steps) == 1 and value is None:
            del place[index]
            return
        steps = [str(index), *steps[1:]]
    *way, last = steps
    for step in way:
        place = _step(place, step, option)
    if isinstance(place, list):
        _step(place, last, option)
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ChangeError(f"{option}: {format_value(way[-1])} has no fields")


def _by_label(record: Mapping[str, Any]) -> dict[str, tuple[list[Any], int]]:
    """Of every item with a name: its list, and where it stands in that.

    What is in a group goes by the name alone as well, where no other has it.
    """
    found: dict[str, tuple[list[Any], int]] = {}
    alone: dict[str, list[tuple[list[Any], int]]] = {}
    for items in record.values():
        if not isinstance(items, list):
            continue
        for place, item in enumerate(items):
            if isinstance(item, Mapping) and (label := _label(item)):
                found[label] = (items, place)
                alone.setdefault(label.rpartition("/")[2], []).append((items, place))
    return {name: places[0] for name, places in alone.items() if len(places) == 1} | found


def _label(item: Mapping[str, Any]) -> str:
    """What an item of a list is called: a rule by its reason."""
    name = str(item.get("name") or item.get("column") or item.get("preset") or "")
    return f"{item['group']}/{name}" if item.get("group") else name


def _step(place: Any, step: str, option: str) -> Any:
    if isinstance(place, dict) and step in place:
        return place[step]
    if isinstance(place, list) and step.isascii() and step.isdigit() and int(step) < len(place):
        return place[int(step)]
    raise ChangeError(f"{option}: there is nothing at {format_value(step)}")


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config as its manifest holds it, by path; items of lists by their names."""
    found: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                walk(inner, f"{path}.{name}" if path else name)
        elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            for place, item in enumerate(value):
                walk(item, f"{path}.{_label(item) or place}")
        else:
            found[path] = value

    walk(config, "")
    return found
