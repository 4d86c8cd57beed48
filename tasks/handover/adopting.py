"""A model that another program tuned, as the artifact of the stage it was handed over from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from llm.alignment.adopted import AdoptedModelError
from llm.alignment.handover.axolotl import TUNED
from tasks.engine.progress import Listener
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.handover.handing_over import RECORD
from tasks.stages.alignment import ADOPTED, TuningConfig


def handed_over(folder: Path) -> Mapping[str, str]:
    """What `ingot handover` wrote beside the rows; nothing where it did not.

    Raises:
        AdoptedModelError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise AdoptedModelError(f"{folder} is not a folder")
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_bytes())
        return {name: str(record[name]) for name in ("recipe", "stage", "build_id")}
    except (ValueError, KeyError, TypeError) as error:
        raise AdoptedModelError(f"{path} is not what `ingot handover` wrote: {error}") from error


def adopt(
    request: BuildRequest, folder: Path, store: Store, listener: Listener | None = None
) -> Artifact:
    """Score the model in a folder, or in its `tuned`, and publish it as a new attempt of the stage.

    Args:
        request: of a stage that tunes on examples, its inputs built.

    Raises:
        AdoptedModelError: the folder was handed over from another build, the stage cannot be
            adopted, or there is no model.
        TrainerError: the model is not one that began as the stage's starting model.
    """
    stage = request.stage.name
    if not isinstance(request.config, TuningConfig) or not request.stage.makes_model:
        raise AdoptedModelError(
            f"{stage} tunes no model on examples, and none can be adopted as its"
        )
    record = handed_over(folder)
    build = record.get("build_id", request.build_id)
    if build != request.build_id:
        raise AdoptedModelError(
            f"{folder} was handed over from build {build[:16]} of {record['stage']}, and the "
            f"recipe now asks for {request.build_id[:16]}: its config or what it reads has "
            "changed. Hand it over again, or go back to the values it was handed over with"
        )
    model = folder / TUNED if (folder / TUNED).is_dir() else folder
    body = request.stage.run

    @wraps(body)  # the code behind the artifact is the stage's
    def run(config: Any, inputs: Inputs, out: Out) -> None:
        out.fact("adopted", {"by": "axolotl" if record else "another program", "from": model.name})
        set_before = ADOPTED.set(str(model.resolve()))
        try:
            body(config, inputs, out)
        finally:
            ADOPTED.reset(set_before)

    taken = replace(request, stage=replace(request.stage, run=run))
    return execute(taken, store, listener, force=True).artifact
