"""Which recipes there are: those that come with Ingot, and files of the root folder."""

from __future__ import annotations

from pathlib import Path

from tasks.engine.errors import RecipeError
from tasks.engine.identity.snapshot import root
from tasks.recipe_files import OWN_FIELDS, SHIPPED, read_record
from tasks.registry import STAGES

_ENDINGS = (".yaml", ".yml")


def found_recipes() -> list[str]:
    """Names of the shipped ones, then the files of the root folder that read as a recipe.

    Each is what `--recipe` takes.
    """
    shipped = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    beside = sorted(path for path in root().iterdir() if path.suffix in _ENDINGS)
    return [*shipped, *(path.name for path in beside if path.is_file() and _is_recipe(path))]


def _is_recipe(path: Path) -> bool:
    """Whether a YAML file has a stage, or extends another recipe, and nothing that no recipe has.

    What is wrong in its fields is said by whoever runs it.
    """
    try:
        keys = read_record(path).keys()
    except RecipeError:
        return False
    return bool(keys & {*STAGES, "extends"}) and keys <= {*STAGES, *OWN_FIELDS}
