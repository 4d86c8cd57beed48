"""The models of a chain as inputs of a stage that reads all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.engine.declare import Input
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Data


def chain_models(stages: Sequence[Stage]) -> Iterator[tuple[str, Input]]:
    """The model of every stage that makes one, by what it is called, in the order in which a model
    goes through them; each may be missing."""
    for stage in stages:
        if stage.makes_model:
            description = stage.outputs["model"].description
            yield stage.makes_model, Input((f"{stage.name}.model",), description, optional=True)


def local_files(data: Data | None) -> list[str]:
    """Local files of a table, of which the recipe may have none."""
    return [str(data.path(part)) for part in data.parts] if data is not None else []
