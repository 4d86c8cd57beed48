"""A YAML file that a recipe names, read as a model of its fields."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tasks.engine.errors import ExternalInputError, RecipeError
from tasks.settings_files.field_errors import explain

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(path: Path, model: type[Settings], field: str) -> Settings:
    """What a file holds.

    Args:
        field: the config field that names the file, for messages.

    Raises:
        ExternalInputError: it cannot be read, is no YAML, or a field does not validate.
    """
    # Not before: every command imports the stages, and few read such files.
    from tasks.settings_files.yaml_text import parse

    try:
        record = parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ExternalInputError(
            f"{field}: {path} cannot be read as UTF-8 text ({error}); correct the path or remove "
            "it from the recipe"
        ) from error
    except RecipeError as error:
        raise ExternalInputError(f"{field}: {error}") from error
    if not isinstance(record, dict):
        raise ExternalInputError(f"{field}: {path}: it holds a mapping of fields")
    try:
        return model.model_validate(record)
    except ValidationError as error:
        lines = "\n".join(f"{field}: {path}: {line}" for line in explain("", model, error))
        raise ExternalInputError(lines) from error
