"""Which models a command is about: stages of a recipe, or folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.built import find_artifacts, first_built
from llm.errors import ExpectedError
from llm.sha256 import sha256_file
from tasks.registry import MODEL_STAGES, STAGES

BASE = MODEL_STAGES[0]  # goes on with a text; the others take turns

# What the models of a recipe are called.
NAMES = ", ".join(str(STAGES[stage].makes_model) for stage in MODEL_STAGES)

OneModel = Annotated[
    str,
    typer.Option(
        "--model",
        help=f"Stage of the recipe, or what its model is called ({NAMES}), or a model's folder; "
        "default: the last that is built.",
    ),
]


class ModelChoiceError(ExpectedError, ValueError):
    """What is named is no model, or has a name twice."""


@dataclass(frozen=True)
class ModelChoice:
    """A model to use.

    Attributes:
        fingerprint: of its weights, 16 hexadecimal digits.
        takes_turns: it was tuned on conversations; of a folder: that it may be told in turns.
    """

    name: str
    folder: Path
    fingerprint: str
    takes_turns: bool


def choose_models(wanted: Sequence[str], recipe: str, channel: str) -> list[ModelChoice]:
    """Models in the order in which they are named; all that are built where none is.

    Args:
        wanted: NAME=STAGE or NAME=FOLDER, or either without NAME.

    Raises:
        ModelChoiceError: a folder is not there, or two models have one name.
        MissingInputError: nothing of the recipe is built yet.
    """
    if wanted:
        chosen = [find_model(text, recipe, channel) for text in wanted]
    else:
        built = find_artifacts(recipe, channel)
        first_built(recipe, channel, MODEL_STAGES)  # says what to do where there is none
        chosen = [
            _of_stage(str(STAGES[stage].makes_model), stage, recipe, channel)
            for stage in MODEL_STAGES
            if stage in built
        ]
    names = [one.name for one in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelChoiceError(f"two models are called {twice!r}; give names: --model NAME=FOLDER")
    return chosen


def last_model(recipe: str, channel: str, stages: Sequence[str] = MODEL_STAGES) -> ModelChoice:
    """That of the last of these stages that is built.

    Raises:
        MissingInputError: none is.
    """
    stage = first_built(recipe, channel, tuple(stages)[::-1]).stage
    return _of_stage(str(STAGES[stage].makes_model), stage, recipe, channel)


def find_model(text: str, recipe: str, channel: str) -> ModelChoice:
    """A model by NAME=STAGE or NAME=FOLDER, or either without NAME.

    Raises:
        ModelChoiceError: it is neither.
        MissingInputError: the stage is not built yet.
    """
    name, equals, place = text.partition("=")
    if not equals:
        name, place = "", text
    stage = place if place in MODEL_STAGES else _by_model_name().get(place)
    if stage is not None:
        return _of_stage(name or place, stage, recipe, channel)
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise ModelChoiceError(
            f"--model {text}: {place!r} is neither a folder nor one of "
            f"{NAMES}, the models of a recipe"
        )
    if not place or not (folder / "config.json").is_file():
        raise ModelChoiceError(
            f"--model {text}: {folder.resolve()} has no config.json, so no model is in it"
        )
    weights = folder / "model.safetensors"
    fingerprint = sha256_file(weights) if weights.is_file() else ""  # loading says what is wrong
    return ModelChoice(name or folder.resolve().name, folder, fingerprint[:16], True)


def _of_stage(name: str, stage: str, recipe: str, channel: str) -> ModelChoice:
    model = first_built(recipe, channel, (stage,)).data("model")
    return ModelChoice(name, model.folder(), model.data_id[:16], stage != BASE)


def _by_model_name() -> dict[str, str]:
    """Stages by the names of their models."""
    return {str(STAGES[stage].makes_model): stage for stage in MODEL_STAGES}
