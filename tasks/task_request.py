"""What crosses into a stage's task: plain values that name a stage, its config and the exact
artifacts it reads, so that the same request runs here or on a worker of another pool."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.engine.errors import ExternalInputError, MissingInputError
from tasks.engine.run.execute import BuildRequest
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published
from tasks.engine.store.store import Store
from tasks.registry import STAGES


class InputName(BaseModel):
    """An exact output of an exact attempt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    build_id: str
    attempt: str
    output: str


class TaskRequest(BaseModel):
    """A `BuildRequest` in plain values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    build_id: str
    home: str
    config: dict[str, Any]
    inputs: dict[str, InputName]
    force: bool
    same_code: bool


class ArtifactReference(BaseModel):
    """What a task returns and Prefect stores: where the manifest is, and what it vouches for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    build_id: str
    attempt: str
    manifest: str
    data_ids: dict[str, str]


def as_task_request(
    request: BuildRequest, store: Store, force: bool, same_code: bool
) -> TaskRequest:
    """A request in plain values, to cross into a task."""
    return TaskRequest(
        stage=request.stage.name,
        build_id=request.build_id,
        home=store.url,
        config=request.config.model_dump(mode="json"),
        inputs={
            name: InputName(
                stage=artifact.stage,
                build_id=artifact.manifest.build_id,
                attempt=artifact.manifest.attempt,
                output=output,
            )
            for name, (artifact, output) in request.inputs.items()
        },
        force=force,
        same_code=same_code,
    )


def build_request(plain: TaskRequest, store: Store) -> BuildRequest:
    """The request that a task was handed in plain values.

    Raises:
        MissingInputError: an attempt it names is gone.
        ExternalInputError: what it reads from outside the store is not what was planned.
    """
    stage = STAGES[plain.stage]
    config = stage.config.model_validate(plain.config)
    inputs: dict[str, tuple[Artifact, str]] = {}
    for name, wanted in plain.inputs.items():
        artifact = published(store, wanted.stage, wanted.build_id, wanted.attempt)
        if artifact is None:
            raise MissingInputError(
                f"{plain.stage} reads {wanted.stage} {wanted.build_id[:16]}/"
                f"{wanted.attempt}, which is gone; run the recipe again"
            )
        inputs[name] = (artifact, wanted.output)
    request = BuildRequest(stage, config, inputs, stage.outside(config, store))
    if request.build_id != plain.build_id:
        raise ExternalInputError(
            f"{plain.stage}: the files it reads changed between plan and run; run it again"
        )
    return request


def reference(artifact: Artifact) -> ArtifactReference:
    """What Prefect is given to remember of an artifact."""
    manifest = artifact.manifest
    return ArtifactReference(
        stage=manifest.stage,
        build_id=manifest.build_id,
        attempt=manifest.attempt,
        manifest=artifact.manifest_path,
        data_ids={name: output.data_id for name, output in manifest.outputs.items()},
    )
