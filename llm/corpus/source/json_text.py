"""JSON whose objects name each field once."""

from __future__ import annotations

import json
from typing import Any

from llm.errors import ExpectedError


class DuplicateFieldError(ExpectedError, ValueError):
    """An object has a field twice: which of the two is meant, nothing tells."""


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        DuplicateFieldError: an object in it, however deep, has a field twice. The module `json`
            lets the last one win in silence.
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateFieldError(f"the field {twice!r} is there twice")
    return found
