"""What further training goes on from: a model folder with optimiser states beside the weights.

    config.json  model.safetensors  tokenizer.json ...   a model folder like any other
    optimisers.safetensors                               or a piece from each process
    resumable.json                                       what the run was, and where

Of a run with a stable phase it is the state at its end, before the learning rate falls: more data
goes on at that rate, and then lets it fall. Of any other run it is the last state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from llm.model import folder as model_folder
from llm.model.config_file import ModelFolderError, check_tokenizer, tokenizer_digest
from llm.model.parametrisation_choice import STANDARD, Parametrisation
from llm.model.transformer import Transformer
from llm.process.run_file import from_record
from llm.sha256 import sha256_file
from llm.tokens.special_tokens import END_OF_TEXT
from llm.training import checkpoints, training_state
from llm.training.run_file import Run
from llm.training.training_state import OPTIMISERS, StateError

FILE = "resumable.json"
_FORMAT = 1


class ArchitectureMismatchError(ModelFolderError):
    """A model to go on from is another one than the run is of; names the fields on both sides."""


class WeightsNotFiniteError(ModelFolderError):
    """A model to go on from holds weights that are no numbers."""


@dataclass(frozen=True)
class Resumable:
    """What a folder says of the run it is of.

    Attributes:
        step: steps that were done.
        tokens: seen in them, and before them by the run they went on from.
        stable: the learning rate is at its peak, warm-up done and decay not begun.
        optimiser: whose states are kept.
        parametrisation: that they were made with.
        files: name -> SHA-256 of the states' files.
    """

    step: int
    tokens: int
    stable: bool
    optimiser: str
    parametrisation: Parametrisation
    files: Mapping[str, str]


def read(folder: Path) -> Resumable | None:
    """What a folder says of itself; none where it is a plain model.

    Raises:
        StateError: it does not say it in a form that is known.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["format"] != _FORMAT:
            raise StateError(f"{path}: format {state['format']}, known is {_FORMAT}")
        optimisation = state["optimisation"]
        return Resumable(
            int(state["step"]),
            int(state["tokens"]),
            bool(state["stable"]),
            str(optimisation["optimiser"]),
            _parametrisation(optimisation.get("parametrisation"), path),
            dict(state["files"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, StateError):
            raise
        raise StateError(f"{path} does not say what it is: {error!r}") from error


def _parametrisation(record: Any, path: Path) -> Parametrisation:
    """The standard one where none is named."""
    return STANDARD if record is None else from_record(Parametrisation, record, str(path))


def write(folder: Path, checkpoint: Path, run: Run, stable: bool, tokens_a_step: int) -> None:
    """Make a folder of a checkpoint of this run.

    Args:
        stable: see `Resumable`.
    """
    position = checkpoints.read_position(checkpoint)
    model = Transformer(run.architecture)
    training_state.restore_weights(checkpoint, model)
    tokenizer = Path(run.paths.tokenizer)
    model_folder.save(model, folder, tokenizer, END_OF_TEXT)
    files = sorted(checkpoint.glob(f"{OPTIMISERS}*.safetensors"))
    for file in files:
        checkpoints.link(file, folder / file.name)
    before = read(Path(run.paths.start)) if run.paths.start else None
    state = {
        "format": _FORMAT,
        "step": position.step,
        "tokens": position.step * tokens_a_step + (before.tokens if before else 0),
        "stable": stable,
        "data_id": run.data_id,
        "tokenizer_sha256": tokenizer_digest(tokenizer),
        "architecture": asdict(run.architecture),
        "optimisation": run.optimisation.as_record(),
        "files": {file.name: sha256_file(file) for file in files},
    }
    (folder / FILE).write_text(json.dumps(state, indent=1), encoding="utf-8")


def first_model(run: Run) -> Transformer:
    """The model that `run.paths.start` holds.

    Raises:
        TokenizerMismatchError, ModelFolderError, ArchitectureMismatchError,
        WeightsNotFiniteError: it is not one that this run goes on from.
    """
    start = Path(run.paths.start)
    check_tokenizer(start, Path(run.paths.tokenizer))
    model = model_folder.load(start)
    there, here = asdict(model.architecture), asdict(run.architecture)
    differ = [
        f"{name} {there[name]} there, {here[name]} here"
        for name in here
        if there[name] != here[name]
    ]
    if differ:
        raise ArchitectureMismatchError(
            f"{start} is another architecture than the one configured: {', '.join(differ)}. Set "
            "the fields to what it has, or train from the start"
        )
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise WeightsNotFiniteError(
                f"{start}: {name} holds values that are no numbers: its training diverged, or the "
                "file is damaged. Take an earlier model"
            )
    return model.train()


def restore(run: Run, model: Transformer, optimisers: list[Optimizer]) -> Resumable | None:
    """Put the optimiser states in place that the run goes on from; none where it starts with fresh
    ones.

    Raises:
        StateError: they are damaged, or another optimiser's.
    """
    folder = Path(run.paths.start)
    found = read(folder) if run.paths.start else None
    if found is None:
        return None
    if found.optimiser != run.optimisation.optimiser:
        raise StateError(
            f"{folder} keeps the states of {found.optimiser}, and this run trains with "
            f"{run.optimisation.optimiser}: set pretrain.optimiser to {found.optimiser}, or "
            "continue from the weights alone (the run's output model)"
        )
    before, here = found.parametrisation, run.optimisation.parametrisation
    if not before.same_rates(here):
        raise StateError(
            f"{folder} was trained with {before.described}, and this run is to train with "
            f"{here.described}: set pretrain.parametrisation and its bases to what it has, "
            "or continue from the weights alone (the run's output model)"
        )
    for name, digest in found.files.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise StateError(f"{folder / name} is not the file that was written; copy it again")
    training_state.restore_optimisers(folder, model, optimisers)
    return found


def describe(found: Resumable) -> str:
    """For the user: what a run goes on from."""
    when = "before its decay" if found.stable else "as it ended"
    return (
        f"goes on from step {found.step} of an earlier run, {when}, after "
        f"{found.tokens:,} tokens, with its optimiser states"
    )
