"""A model in a folder as a contender: measured as, and on what, another model was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from tasks.comparison.contenders import FOLDER, STAGE, Contender, contender
from tasks.engine.errors import ExternalInputError, MissingInputError
from tasks.engine.run.execute import BuildRequest
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published
from tasks.engine.store.store import Store
from tasks.registry import STAGES

# Brings what is asked for up to date in a store.
Measure = Callable[[BuildRequest, Store], Artifact]

_CONFIG = "config.json"
_MODELS = "model:"
# What a model that transformers computes is measured on, beside tasks.
_READ = ("documents", "attributes")


def is_model(folder: Path) -> bool:
    """Whether a folder looks like one that `save_pretrained` wrote."""
    try:
        return (folder / _CONFIG).is_file()
    except OSError:  # a name no file can have
        return False


def measured_like(name: str, folder: Path, evaluation: Artifact, measure: Measure) -> Contender:
    """The model in a folder, measured where it was not yet.

    Args:
        name: for tables and messages.
        evaluation: of another model, on the same items.

    Raises:
        MissingInputError, ExternalInputError: see `like`.
        TrainerError: transformers cannot load the folder.
    """
    found = measure(like(folder, evaluation), evaluation.store)
    return contender(name, found, FOLDER)


def like(folder: Path, evaluation: Artifact) -> BuildRequest:
    """The evaluation of the model in a folder by the settings and on the inputs of another one.

    It is called the same wherever it lies, so that one model is measured once.

    Raises:
        MissingInputError: what that one read is gone, or this version has other settings.
        ExternalInputError: its files of tasks changed since.
    """
    stage, manifest = STAGES[STAGE], evaluation.manifest
    here = {"models": [f"{FOLDER}={folder}"], "pool": "", "device": "auto", "threads": 0}
    again = f"`ingot run --only {STAGE}` measures again"
    try:
        config = stage.config.model_validate({**manifest.execution, **manifest.config, **here})
    except ValidationError as error:
        raise MissingInputError(
            f"{evaluation.folder} was made by another version of Ingot, with settings that this "
            f"one does not have ({error.errors()[0]['loc'][0]}); {again}"
        ) from error
    inputs: dict[str, tuple[Artifact, str]] = {}
    for name in _READ:
        record = manifest.inputs.get(name)
        if record is None:
            continue
        parent = published(evaluation.store, record.stage, record.build_id, record.attempt)
        if parent is None:
            raise MissingInputError(
                f"{evaluation.folder} read {record.stage} {record.build_id[:16]}/{record.attempt}, "
                f"which is gone; {again}"
            )
        inputs[name] = (parent, record.output)
    externals = stage.outside(config, evaluation.store)
    for name in sorted({*externals, *manifest.externals}):
        if name.startswith(_MODELS):
            continue
        one, other = externals.get(name), manifest.externals.get(name)
        if one is None or other is None or one.data_id != other.data_id:
            raise ExternalInputError(
                f"{name} is not what {evaluation.folder} was measured by any more; {again}"
            )
    return BuildRequest(stage, config, inputs, externals)
