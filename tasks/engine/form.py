"""How a config looks as a form: the order of its fields, and their bounds in words.

Forms show a field's description and nothing else of its constraints, which people would meet as
an error after filling it in. So the JSON schema of every config says them, from the constraints.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_SINGULAR = {" characters": " character", " entries": " entry"}


def form_schema(model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a model as forms show it best.

    A class's own fields come before those of its parents: what a person changes is in a stage's
    own class, how any stage runs (`workers`, `pool`) in the classes all of them share.
    """
    shown = schema.get("properties", {})
    schema["properties"] = {
        name: {**shown[name], "description": describe(shown[name]), "position": position}
        for position, name in enumerate(_order(model))
        if name in shown
    }
    return schema


def _order(model: type[BaseModel]) -> list[str]:
    names: dict[str, None] = {}
    for parent in model.__mro__:
        if issubclass(parent, BaseModel):
            own = inspect.get_annotations(parent)
            names.update(dict.fromkeys(name for name in own if name in model.model_fields))
    return list(names)


def describe(field: Mapping[str, Any]) -> str:
    """A field's description, then its bounds."""
    description = str(field.get("description", "")).strip()
    limits = bounds(field)
    if not limits:
        return description
    end = "" if not description or description.endswith((".", "!", "?", ")")) else "."
    return f"{description}{end} {limits}".strip()


def bounds(field: Mapping[str, Any]) -> str:
    """The constraints of a JSON schema in words: "From 1 to 64." Empty where there are none."""
    description = [_one(kind) for kind in field.get("anyOf", [field])]
    return " ".join(text for text in description if text)


def _one(kind: Mapping[str, Any]) -> str:
    words = [_range(kind, "minimum", "maximum", "")]
    words.append(_range(kind, "minLength", "maxLength", " characters"))
    words.append(_range(kind, "minItems", "maxItems", " entries"))
    if "multipleOf" in kind:
        words.append(f"a multiple of {_number(kind['multipleOf'])}")
    if "pattern" in kind:
        words.append(f"of the form {kind['pattern']}")
    items = _one(kind["items"]) if isinstance(kind.get("items"), dict) else ""
    text = ", ".join(word for word in words if word)
    sentence = f"{text[0].upper()}{text[1:]}." if text else ""
    each = f"Each: {items[0].lower()}{items[1:]}" if items else ""
    return f"{sentence} {each}".strip()


def _range(kind: Mapping[str, Any], minimum: str, maximum: str, unit: str) -> str:
    low, high = kind.get(minimum), kind.get(maximum)
    above, below = kind.get(f"exclusive{minimum.title()}"), kind.get(f"exclusive{maximum.title()}")
    single = unit in _SINGULAR and (high if low is None else low) == 1 and None in (low, high)
    unit = _SINGULAR[unit] if single else unit
    if low is not None and high is not None:
        if low == high:
            return f"exactly {_number(low)}{unit}"
        return f"from {_number(low)} to {_number(high)}{unit}"
    words = []
    if low is not None:
        words.append(f"at least {_number(low)}{unit}")
    if above is not None:
        words.append(f"more than {_number(above)}{unit}")
    if high is not None:
        words.append(f"at most {_number(high)}{unit}")
    if below is not None:
        words.append(f"less than {_number(below)}{unit}")
    return " and ".join(words)


def _number(value: float) -> str:
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:g}"
