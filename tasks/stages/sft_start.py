"""A model of others that `sft` starts from: a folder, or one of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from llm.foreign.hub import HUB_ID, HubModelError, hub_model
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, root, snapshot_files

START, TEMPLATE = "start", "chat_template"
MODEL_CONFIG = "config.json"
# What transformers reads; other copies of the weights, and what is said of it, are no part of it.
MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
_FIELD = "sft.start_from"


def start_snapshots(start_from: str, chat_template: str) -> dict[str, Snapshot]:
    """The files of the model as the external input `start`, and of the template; none without.

    Raises:
        ExternalInputError: there is no such model, or no such file.
    """
    if not start_from:
        return {}
    folder = root() / Path(start_from).expanduser()
    if not folder.is_dir() and HUB_ID.fullmatch(start_from):
        try:
            folder = hub_model(start_from)
        except HubModelError as error:
            raise ExternalInputError(f"{_FIELD}: {error}") from error
    if not (folder / MODEL_CONFIG).is_file():
        raise ExternalInputError(
            f"{_FIELD}: {start_from} is no model: there is no {folder / MODEL_CONFIG}; give a "
            "folder that save_pretrained wrote, or ORGANISATION/MODEL of the Hugging Face hub"
        )
    found = {START: files_of_model(folder, _FIELD)}
    if chat_template:
        found[TEMPLATE] = snapshot_files([chat_template], "sft.chat_template")
        if len(found[TEMPLATE].items) != 1:
            raise ExternalInputError(
                f"sft.chat_template: {chat_template} is not one file; name the Jinja file"
            )
    return found


def files_of_model(folder: Path, field: str) -> Snapshot:
    """What makes the model in a folder, as an external input of the config field."""
    files = [path for kind in MODEL_FILES for path in sorted(folder.glob(kind))]
    return snapshot_files([str(path) for path in files], field)


def start_folder(external: Mapping[str, Snapshot]) -> Path:
    """Where the model lies on this machine."""
    config = next(item.path for item in external[START].items if item.name == MODEL_CONFIG)
    return Path(config).parent


def template_path(external: Mapping[str, Snapshot]) -> str:
    """The file of the chat template given; empty where the model's own is taken."""
    return external[TEMPLATE].items[0].path if TEMPLATE in external else ""


def start_name(start_from: str) -> str:
    """What the model is called: its id, or the last part of its folder's path."""
    return start_from if HUB_ID.fullmatch(start_from) else Path(start_from).expanduser().name


def revision(folder: Path) -> str | None:
    """The commit that a folder of the hub's cache is of; None of any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None
