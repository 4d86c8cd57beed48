"""The model that `pretrain` goes on from: its files, and whether it is the same kind of model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm.model.config_file import ModelFolderError, TokenizerMismatchError, check_tokenizer
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, root, snapshot_files
from tasks.engine.store.artifact import Inputs

_FILES = ("config.json", "model.safetensors", "tokenizer.json")


def start_snapshot(continue_from: str) -> dict[str, Snapshot]:
    """The files of the model in that folder as the external `start`; nothing where none is named.

    Raises:
        ExternalInputError: one of them does not exist.
    """
    if not continue_from:
        return {}
    patterns = [f"{continue_from}/{name}" for name in _FILES]
    return {"start": snapshot_files(patterns, "pretrain.continue_from", "start/")}


def start_folder(inputs: Inputs, tokenizer: Path) -> str:
    """The folder the snapshot found the model in; empty without one.

    Raises:
        ExternalInputError: it is no model, or was trained with another tokenizer.
    """
    if "start" not in inputs.external:
        return ""
    folder = Path(inputs.external["start"].items[0].path).parent
    try:
        check_tokenizer(folder, tokenizer)
    except (ModelFolderError, TokenizerMismatchError) as error:
        raise ExternalInputError(f"pretrain.continue_from: {error}") from error
    return str(folder)


def other_architecture(continue_from: str, wanted: Mapping[str, tuple[str, Any]]) -> Iterator[str]:
    """How the model differs from the one asked for, as far as its config.json says it; the rest
    the trainer says.

    Args:
        wanted: field of config.json -> what it is called here, and its value here.
    """
    try:
        path = root() / continue_from / "config.json"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # missing files are told with the others that are missing
    differ = [
        f"{field} {found[name]} there, {value} here"
        for name, (field, value) in wanted.items()
        if name in found and found[name] != value
    ]
    if differ:
        yield (
            f"pretrain.continue_from: the model in {continue_from} is of another "
            f"architecture: {', '.join(differ)}; set the fields to what it has"
        )
