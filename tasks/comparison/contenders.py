"""A model in a comparison, and the evaluation that measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm.evaluation.items import read_measures
from llm.evaluation.measure import Measure
from tasks.engine.errors import MissingInputError
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current

STAGE = "evaluate"
ITEMS = "items"
# What the model of a folder is called in the evaluation that was made to compare it.
FOLDER = "folder"
_MODEL = "model"


@dataclass(frozen=True)
class Contender:
    """A model as an evaluation measured it.

    Attributes:
        name: what it was asked for by.
        model: its name within the evaluation.
        measures: by name, in the order of the evaluation.
        judge: what a judge's grades among the measures hang on; "" without any.
    """

    name: str
    model: str
    evaluation: Artifact
    measures: Mapping[str, Measure]
    judge: str = ""

    @property
    def label(self) -> str:
        return self.name if self.is_of_folder else f"{self.name}:{self.model}"

    @property
    def is_of_folder(self) -> bool:
        """Whether it was named by the folder it lies in."""
        return self.model == FOLDER

    def is_same(self, other: Contender) -> bool:
        """Whether both are one model in one evaluation."""
        one, another = (
            (each.evaluation.store.address, each.evaluation.folder, each.model)
            for each in (self, other)
        )
        return one == another


def contender(name: str, artifact: Artifact, model: str = "") -> Contender:
    """A model of an evaluation, or the model that an artifact is.

    Args:
        name: for tables and messages.
        artifact: of `evaluate`, or of a stage that makes a model.
        model: its name within the evaluation; "" = the artifact itself, of an evaluation the last
            of its recipe.

    Raises:
        MissingInputError: the evaluation has no such model, or kept no items; or nothing in the
            store has evaluated the artifact.
    """
    if artifact.stage != STAGE:
        artifact, measured = _evaluation_of(name, artifact)
        model = model or measured
    if ITEMS not in artifact.manifest.outputs:
        raise MissingInputError(
            f"{name}: {artifact.folder} was made by a version of Ingot that kept no items to "
            f"compare by; `ingot run --only {STAGE}` measures again"
        )
    found = read_measures(artifact.data(ITEMS).table())
    if not found:
        raise MissingInputError(f"{name}: {artifact.folder} measured no model")
    # Others may have been measured beside the models of the recipe.
    read = artifact.manifest.inputs
    own = [name for name in found if name in read and read[name].output == _MODEL]
    model = model or (own or list(found))[-1]
    if model not in found:
        raise MissingInputError(
            f"{name}: {artifact.folder} measured no model {model!r}; it has {', '.join(found)}"
        )
    return Contender(name, model, artifact, found[model])


def _evaluation_of(name: str, artifact: Artifact) -> tuple[Artifact, str]:
    """The evaluation, the latest of several, that read this model, and what it calls it."""
    wanted = artifact.manifest.outputs.get(_MODEL)
    if wanted is None:
        raise MissingInputError(
            f"{name}: {artifact.stage} makes no model; name a recipe, an evaluation or a model"
        )
    found: list[tuple[str, Artifact, str]] = []
    for build in artifact.store.names(f"artifacts/{STAGE}"):
        evaluation = current(artifact.store, STAGE, build)
        if evaluation is None:
            continue
        for model, record in evaluation.manifest.inputs.items():
            if record.output == _MODEL and record.data_id == wanted.data_id:
                found.append((evaluation.manifest.timings.started, evaluation, model))
    if not found:
        raise MissingInputError(
            f"{name}: no evaluation in {artifact.store.url} has measured this model; `ingot run "
            f"--only {STAGE}` of its recipe does"
        )
    _, evaluation, model = max(found, key=lambda each: each[0])
    return evaluation, model
