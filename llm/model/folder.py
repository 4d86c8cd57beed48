"""A model as a folder that transformers loads unchanged.

config.json             the architecture and the tokenizer's digest (`config_file.py`)
model.safetensors       float32, parameter names of transformers, a tied matrix once
generation_config.json  where generation ends
tokenizer.json, ...     the tokenizer's own files
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from llm.model.architecture import Architecture
from llm.model.config_file import (
    ForeignModelError,
    ModelFolderError,
    architecture,
    check_tokenizer,
    to_config,
    tokenizer_digest,
)
from llm.model.transformer import Transformer
from llm.model.weight_files import INDEX, WEIGHTS, weight_files
from llm.tokens import hf_folder
from llm.tokens.special_tokens import END_OF_TEXT, PAD, TURN_END


@dataclass(frozen=True)
class Ends:
    """Where a model that takes turns stops.

    Attributes:
        turn, turn_id: the token that ends a turn.
        stops: ids of all that end what it says.
        pad: id of the token that fills rows up.
    """

    turn: str
    turn_id: int
    stops: tuple[int, ...]
    pad: int


def save(model: Transformer, folder: Path, tokenizer_folder: Path, eos_token: str) -> None:
    """Write a model folder.

    Args:
        tokenizer_folder: whose files are copied; may be a model folder.
        eos_token: ends what the model produces: `END_OF_TEXT` for a base model, `TURN_END` for
            one that takes turns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in hf_folder.FILES:
        shutil.copyfile(tokenizer_folder / name, folder / name)
    hf_folder.set_eos_token(folder, eos_token)
    tokenizer = hf_folder.load_tokenizer(folder)
    ends = [hf_folder.special_id(tokenizer, token) for token in (END_OF_TEXT, TURN_END)]
    eos, pad = hf_folder.special_id(tokenizer, eos_token), hf_folder.special_id(tokenizer, PAD)
    state = {
        name: value.detach().float().cpu().contiguous()
        for name, value in model.state_dict().items()
        if not (model.architecture.tied and name == "lm_head.weight")
    }
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    config = to_config(model.architecture) | {
        "bos_token_id": None,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "tokenizer_sha256": tokenizer_digest(folder),
    }
    _write(folder / "config.json", config)
    # Whichever way the model ends a text, generation stops there.
    generation = {"eos_token_id": sorted(ends), "pad_token_id": pad, "do_sample": False}
    _write(folder / "generation_config.json", generation)


def save_tuned(
    state: Mapping[str, torch.Tensor],
    folder: Path,
    start: Path,
    ends: Ends,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a model tuned from the one in the folder `start`, whose config and tokenizer it has.

    Args:
        state: its parameters by name; one under several names is written under the first.
        more: fields of config.json that are other ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in hf_folder.FILES:
        shutil.copyfile(start / name, folder / name)
    hf_folder.set_eos_token(folder, ends.turn)
    written: dict[str, torch.Tensor] = {}
    seen = set()
    for name, value in state.items():
        place = (value.data_ptr(), value.shape)
        if place not in seen:
            written[name] = value.detach().float().cpu().contiguous()
        seen.add(place)
    save_file(written, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((start / "config.json").read_text(encoding="utf-8"))
    told = {"eos_token_id": ends.turn_id, "pad_token_id": ends.pad, "dtype": "float32"}
    told |= {"torch_dtype": "float32", "tokenizer_sha256": tokenizer_digest(folder)}
    _write(folder / "config.json", config | more | told)
    path = folder.joinpath("generation_config.json")
    beside = start / path.name
    generation = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    stops = {"eos_token_id": sorted(ends.stops), "pad_token_id": ends.pad}
    _write(path, {**generation, **stops})


def load(folder: Path) -> Transformer:
    """The model in a folder, float32, on the CPU.

    Raises:
        ModelFolderError: a file is missing or does not fit the others; a `ForeignModelError`
            where another program wrote them in a way this code does not read.
        TokenizerMismatchError: the tokenizer beside it is not the one it was trained with.
    """
    check_tokenizer(folder, folder)
    shape = architecture(folder)
    state = _weights(folder, shape)
    model = Transformer(shape)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise _misfit(folder, str(error)) from error
    return model.to(torch.float32).eval()


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors in a folder's weight files by name.

    Raises:
        ModelFolderError: see `weight_files`; or one cannot be read.
    """
    found: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        if path.name == INDEX:
            continue
        try:
            found |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelFolderError(f"{path}: no readable weights: {error}") from error
    return found


def _weights(folder: Path, shape: Architecture) -> dict[str, torch.Tensor]:
    """The parameters in a folder by name, the tied matrix under both of its names."""
    state, path = read_weights(folder), folder / WEIGHTS
    whole = next((name for name, value in state.items() if not value.is_floating_point()), None)
    if whole is not None:
        raise ForeignModelError(f"{path}: {whole} is {state[whole].dtype}; weights are floats")
    embedding = state.get("model.embed_tokens.weight")
    if embedding is None:
        raise _misfit(
            folder,
            f"there is no model.embed_tokens.weight among {', '.join(sorted(state)[:3]) or 'none'};"
            " names are those that AutoModelForCausalLM saves",
        )
    if shape.tied:
        head = state.setdefault("lm_head.weight", embedding)
        if head is not embedding and not torch.equal(head, embedding):
            raise ForeignModelError(
                f"{path}: lm_head.weight is not model.embed_tokens.weight, and config.json has "
                "tie_word_embeddings true; set it to false, or leave lm_head.weight out"
            )
    held = sum(value.numel() for value in state.values())
    if shape.parameters > 2 * held:  # such a model may fit no memory
        raise _misfit(folder, f"it holds {held:,} parameters of {shape.parameters:,}")
    return state


def _misfit(folder: Path, why: str) -> ModelFolderError:
    return ModelFolderError(f"{folder / WEIGHTS} does not fit config.json beside it: {why}")


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
