"""The model that `pretrain` goes on from: its files, and whether it is the same kind of model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm.model.config_file import ModelFolderError, TokenizerMismatchError, check_tokenizer
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, root, snapshot_files
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.named import is_named, named_artifact
from tasks.engine.store.store import Store

# Names of files beside the model's own (llm/training/resumable.py), whose module imports torch.
RESUMABLE, OPTIMISERS = "resumable.json", "optimisers"
_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_FIELD = "pretrain.continue_from"


def start_artifact(
    continue_from: str, store: Store, wanted: Mapping[str, tuple[str, Any]]
) -> dict[str, tuple[Artifact, str]]:
    """The artifact of that name as the input `start`; nothing where none is named.

    Args:
        wanted: field of config.json -> what it is called here, and its value here.

    Raises:
        ExternalInputError: there is none, it has no such output, or is of another architecture.
    """
    if not is_named(continue_from):
        return {}
    artifact, output = named_artifact(store, continue_from, "model", _FIELD)
    data = artifact.data(output)
    path = next((data.path(part) for part in data.parts if part.path == "config.json"), None)
    if path is None:
        raise ExternalInputError(f"{_FIELD}: {continue_from} is no model: it has no config.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ExternalInputError(_no_object(path))
    differ = _differences(found, wanted)
    if differ:
        raise ExternalInputError(_other(continue_from, differ))
    return {"start": (artifact, output)}


def start_snapshot(continue_from: str) -> dict[str, Snapshot]:
    """The files in that folder as the external `start`: those of the model, and optimiser states
    where there are some; nothing where no folder is named.

    Raises:
        ExternalInputError: one of them does not exist.
    """
    if not continue_from or is_named(continue_from):
        return {}
    folder = root() / Path(continue_from).expanduser()
    if "@" in continue_from and not folder.exists():
        raise ExternalInputError(
            f"{_FIELD}: {continue_from!r} is neither a folder nor an artifact: those are written "
            "stage.output@build, at least 4 digits (0-9, a-f) of the build id, which `ingot why "
            "pretrain` shows"
        )
    patterns = [f"{continue_from}/{name}" for name in _FILES]
    if (folder / RESUMABLE).is_file():
        patterns += [f"{continue_from}/{RESUMABLE}", f"{continue_from}/{OPTIMISERS}*.safetensors"]
    return {"start": snapshot_files(patterns, _FIELD, "start/")}


def start_folder(inputs: Inputs, tokenizer: Path) -> str:
    """The local folder of what is gone on from; empty without.

    Raises:
        ExternalInputError: it is no model, or was trained with another tokenizer.
        DamagedArtifactError: its files are not those that were published.
    """
    if "start" in inputs:
        folder = inputs["start"].folder()
    elif "start" in inputs.external:
        folder = Path(inputs.external["start"].items[0].path).parent
    else:
        return ""
    try:
        check_tokenizer(folder, tokenizer)
    except (ModelFolderError, TokenizerMismatchError) as error:
        raise ExternalInputError(f"{_FIELD}: {error}") from error
    return str(folder)


def is_warm(start: str) -> bool:
    """Whether what lies in the folder is to go on at the rate it has, without a warm-up.

    Raises:
        ExternalInputError: its state cannot be read.
    """
    path = Path(start) / RESUMABLE
    if not start or not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["stable"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExternalInputError(f"{_FIELD}: {path} does not say what it is: {error!r}") from error


def other_architecture(continue_from: str, wanted: Mapping[str, tuple[str, Any]]) -> Iterator[str]:
    """How the model differs from the one asked for, as far as its config.json says it; the rest
    the trainer says.

    Args:
        wanted: field of config.json -> what it is called here, and its value here.
    """
    try:
        path = root() / Path(continue_from).expanduser() / "config.json"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # missing files are told with the others that are missing
    if not isinstance(found, dict):
        yield _no_object(path)
        return
    differ = _differences(found, wanted)
    if differ:
        yield _other(continue_from, differ)


def _no_object(path: Path) -> str:
    return f"{_FIELD}: {path} is no JSON object, so no model's config; name another folder"


def _differences(found: Mapping[str, Any], wanted: Mapping[str, tuple[str, Any]]) -> list[str]:
    return [
        f"{field} {found[name]} there, {value} here"
        for name, (field, value) in wanted.items()
        if name in found and found[name] != value
    ]


def _other(continue_from: str, differ: list[str]) -> str:
    return (
        f"{_FIELD}: the model in {continue_from} is of another architecture: "
        f"{', '.join(differ)}; set the fields to what it has"
    )
