"""Models of others that a recipe names, to be measured beside its own: folders, or the hub's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm.foreign.hub import HUB_ID, HubModelError, cached_model
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, root
from tasks.stages.sft_start import files_of_model

_MODEL = "model:"
_FIELD = "evaluate.models"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CONFIG = "config.json"


def model_snapshots(models: Sequence[str]) -> dict[str, Snapshot]:
    """The files of each model as an external input.

    Args:
        models: folders or ids of the hub, each with NAME= before it or not.

    Raises:
        ExternalInputError: there is no such model on this machine, or a name is taken.
    """
    found: dict[str, Snapshot] = {}
    for text in models:
        name, equals, place = text.partition("=")
        folder = _folder(place if equals else text)
        if not equals:
            name = text.rstrip("/").rpartition("/")[2]
        if not _NAME.fullmatch(name):
            raise ExternalInputError(
                f"{_FIELD}: {text}: a model is called by letters, digits, ., - and _; write "
                "NAME=FOLDER"
            )
        if _MODEL + name in found:
            raise ExternalInputError(
                f"{_FIELD}: {text}: another model is called {name!r}; write NAME=FOLDER"
            )
        found[_MODEL + name] = files_of_model(folder, _FIELD)
    return found


def model_records(external: Mapping[str, Snapshot], taken: Sequence[str]) -> list[dict[str, str]]:
    """The models among external inputs as run.json holds them: name and folder.

    Args:
        taken: names that models of the recipe have.

    Raises:
        ExternalInputError: a name is taken.
    """
    found = []
    for name, snapshot in external.items():
        if not name.startswith(_MODEL):
            continue
        name = name.removeprefix(_MODEL)
        if name in taken:
            raise ExternalInputError(
                f"{_FIELD}: a model of the recipe is called {name!r}; write OTHER_NAME=FOLDER"
            )
        config = next(item.path for item in snapshot.items if item.name == _CONFIG)
        found.append({"name": name, "folder": str(Path(config).parent)})
    return found


def _folder(place: str) -> Path:
    folder = root() / Path(place).expanduser()
    if not folder.is_dir() and HUB_ID.fullmatch(place):
        # A plan asks no network, and has to know what a model is before anything is built.
        try:
            folder = cached_model(place)
        except HubModelError as error:
            raise ExternalInputError(f"{_FIELD}: {error}") from error
    if not (folder / _CONFIG).is_file():
        raise ExternalInputError(
            f"{_FIELD}: {place} is no model: there is no {folder / _CONFIG}; give a folder that "
            "save_pretrained wrote"
        )
    return folder
