"""What a person adds to the papers: a YAML file of texts by field, nested or with dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from tasks.engine.errors import RecipeError
from tasks.papers.fields import PapersAnswersError
from tasks.settings_files.yaml_text import parse


def read_answers(path: Path) -> dict[str, str]:
    """Text by field.

    Raises:
        PapersAnswersError: it cannot be read, or a value is no text, number, date or yes and no.
    """
    try:
        record = parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise PapersAnswersError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    except RecipeError as error:
        raise PapersAnswersError(str(error)) from error
    if not isinstance(record, dict):
        raise PapersAnswersError(f"{path}: a mapping of fields to texts was expected")
    return dict(_flat(record, "", path))


def _flat(record: Mapping[str, Any], within: str, path: Path) -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        key = f"{within}.{name}" if within else str(name)
        if isinstance(value, dict):
            yield from _flat(value, key, path)
        elif isinstance(value, bool):
            yield key, "Yes" if value else "No"
        elif isinstance(value, (str, int, float, date)):
            yield key, str(value).strip()
        elif isinstance(value, list) and all(isinstance(one, (str, int, float)) for one in value):
            yield key, ", ".join(str(one) for one in value)
        elif value is not None:
            raise PapersAnswersError(
                f"{path}: {key}: a text, a number, yes or no, or a list of these was expected"
            )
