"""A model that another program tuned, taken back: is it one of ours, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from llm.errors import ExpectedError
from llm.foreign.model import AnyModel, weights_of
from llm.model.config_file import ModelFolderError
from llm.model.folder import read_weights
from llm.model.weight_files import INDEX, WEIGHTS

_ADAPTER = "adapter_model.safetensors"
_FIGURES = {"loss", "learning_rate", "grad_norm"}


class AdoptedModelError(ExpectedError, ValueError):
    """A folder holds no model that may take the place of the one it began as; says why."""


def take_weights(model: AnyModel, folder: Path) -> None:
    """Put a folder's weights into the model they began as, in its dtype.

    Raises:
        AdoptedModelError: they are missing or broken, of another shape, not finite, or those of
            the starting model.
    """
    found, held = _weights(folder), weights_of(model)
    found |= _tied(found, held)
    for name in sorted(held.keys() | found.keys()):
        if name not in found or name not in held:
            side = "lacks" if name not in found else "has a further"
            raise AdoptedModelError(f"{folder}: it {side} {name}; it is another architecture")
        if held[name].shape != found[name].shape:
            raise AdoptedModelError(
                f"{folder}: {name} is {tuple(found[name].shape)}, the starting model's is "
                f"{tuple(held[name].shape)}; it is another architecture or vocabulary"
            )
        if not found[name].isfinite().all():
            raise AdoptedModelError(f"{folder}: {name} is not finite: the training diverged")
    # Weights that were kept in bfloat16 come back as what they are there.
    if all(torch.equal(held[name].to(found[name].dtype).cpu(), found[name]) for name in held):
        raise AdoptedModelError(f"{folder}: it is the starting model; nothing was trained")
    with torch.no_grad():
        for name, value in held.items():
            value.copy_(found[name])
        logits = model(torch.zeros(1, 8, dtype=torch.long, device=model.device))
    if not logits.isfinite().all():
        raise AdoptedModelError(f"{folder}: its logits are not finite")


def check_same_tokenizer(ours: Path, theirs: Path) -> None:
    """Make sure that two folders' tokenizers make the same ids of the same text.

    Raises:
        AdoptedModelError: there is none, or another.
    """
    path = theirs / "tokenizer.json"
    if not path.is_file():
        raise AdoptedModelError(f"{path} is missing; the tokenizer lies beside the model")
    one, other = (_rules(folder / "tokenizer.json") for folder in (ours, theirs))
    apart = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    if apart:
        raise AdoptedModelError(
            f"{path} differs from the starting model's in {', '.join(apart)}; the model takes "
            "other ids than the examples have"
        )


def history(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Figures of every step as transformers' trainer kept them (rows of step, name, value) and the
    last step; nothing and 0 where it kept none.

    Raises:
        AdoptedModelError: a file of that name holds something else.
    """
    beside = [folder / "trainer_state.json", *folder.glob("checkpoint-*/trainer_state.json")]
    found: tuple[list[dict[str, Any]], int] = [], 0
    for path in filter(Path.is_file, beside):
        try:
            state = json.loads(path.read_bytes())
            steps = int(state["global_step"])
            rows = [
                {"step": int(entry["step"]), "name": name, "value": float(entry[name])}
                for entry in state["log_history"]
                if "loss" in entry
                for name in sorted(_FIGURES & entry.keys())
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise AdoptedModelError(
                f"{path} is no trainer's history ({error!r}); remove it to adopt without curves"
            ) from error
        found = max(found, (rows, steps), key=itemgetter(1))
    return found


def _tied(found: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is not in a file because it is, under another name."""
    names = {value.data_ptr(): name for name, value in held.items() if name in found}
    return {
        name: found[names[value.data_ptr()]]
        for name, value in held.items()
        if name not in found and value.data_ptr() in names
    }


def _weights(folder: Path) -> dict[str, Tensor]:
    whole = (folder / WEIGHTS).is_file() or (folder / INDEX).is_file()
    if not whole and (folder / _ADAPTER).is_file():
        raise AdoptedModelError(
            f"{folder}: it holds an adapter, not a model; merge it first (axolotl merge-lora)"
        )
    if not whole:
        raise AdoptedModelError(f"{folder}: there is neither {WEIGHTS} nor {INDEX}")
    try:
        return read_weights(folder)
    except ModelFolderError as error:
        raise AdoptedModelError(str(error)) from error


def _rules(path: Path) -> dict[str, Any]:
    """What a tokenizer does to a text; how long one may be, and padding, are no part of it."""
    try:
        rules: dict[str, Any] = json.loads(Tokenizer.from_file(str(path)).to_str())
    except Exception as error:  # the library raises no narrower one
        raise AdoptedModelError(f"{path}: no readable tokenizer: {error}") from error
    return {name: rule for name, rule in rules.items() if name not in ("truncation", "padding")}
