"""A GPT-2 as a folder that transformers' GPT2LMHeadModel opens, and the way back.

config.json        sizes, by transformers' names
model.safetensors  float32; the output matrix, which is the embedding, once

GPT-2 keeps the matrices of its blocks as (in, out), transformers' Conv1D; `nn.Linear`, here as
everywhere else, as (out, in). They are transposed on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from llm.model.architecture import ArchitectureError
from llm.model.config_file import ForeignModelError, ModelFolderError
from llm.model.textbook.gpt2 import GPT2, GPT2Shape
from llm.model.weight_files import WEIGHTS

_CLASS = "GPT2LMHeadModel"
_PREFIX = "transformer."
_HEAD = "lm_head.weight"
_CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
# Causal masks, which early files hold among the parameters.
_MASKS = (".attn.bias", ".attn.masked_bias")
_SIZES = {
    "vocab_size": "vocabulary_size",
    "n_positions": "context",
    "n_embd": "hidden_size",
    "n_inner": "intermediate_size",
    "n_layer": "layers",
    "n_head": "heads",
    "layer_norm_epsilon": "norm_eps",
}
# What else decides what a GPT-2 computes; a field that is not there has the first of its values.
_HONOURED: dict[str, tuple[object, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "tie_word_embeddings": (True,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}


class MissingTensorError(ModelFolderError):
    """A file of weights lacks a tensor that the model of its config.json has."""


class NonFiniteWeightError(ModelFolderError):
    """A weight is no number; names the tensor."""


class TensorShapeError(ModelFolderError):
    """A tensor in a file of weights has other sizes than config.json beside it gives it."""


def write(model: GPT2, folder: Path) -> None:
    """Write config.json and model.safetensors; the folder is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.T if name.endswith(_CONV1D) else value).detach().float().cpu().contiguous()
        for name, value in model.state_dict().items()
        if name != _HEAD
    }
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "architectures": [_CLASS],
        "model_type": "gpt2",
        **{theirs: getattr(model.shape, ours) for theirs, ours in _SIZES.items()},
        **{field: values[0] for field, values in _HONOURED.items()},
        "initializer_range": 0.02,
        **{f"{place}_pdrop": 0.0 for place in ("attn", "embd", "resid")},
        "bos_token_id": None,  # else transformers takes the last id of the published GPT-2
        "eos_token_id": None,
        "dtype": "float32",
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def read(folder: Path) -> GPT2:
    """The model in a folder, float32, on the CPU.

    Raises:
        MissingTensorError, TensorShapeError: weights that do not fit config.json.
        NonFiniteWeightError: a model that diverged, or a damaged file.
        ForeignModelError: a GPT-2 that computes something else, or another model.
        ModelFolderError: a file is missing or cannot be read, a size is none.
    """
    shape = _shape(folder / "config.json")
    path = folder / WEIGHTS
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{path}: no readable weights: {error}") from error
    # The published files leave the prefix out.
    found = {name.removeprefix(_PREFIX): value for name, value in stored.items()}
    if len(found) < len(stored):
        twice = min(name for name in stored if _PREFIX + name in stored)
        raise ForeignModelError(f"{path}: {twice!r} is there twice, with and without {_PREFIX!r}")
    state = {}
    for name, size in _tensors(shape):
        if name not in found:
            raise MissingTensorError(f"{path}: no tensor {name!r}, which config.json asks for")
        value = found.pop(name)
        if tuple(value.shape) != size:
            raise TensorShapeError(
                f"{path}: {name} is {tuple(value.shape)}, and {size} by config.json beside it"
            )
        if not bool(value.isfinite().all()):
            raise NonFiniteWeightError(f"{path}: {name} has weights that are no finite numbers")
        state[_PREFIX + name] = (value.T if name.endswith(_CONV1D) else value).float()
    embedding = state[f"{_PREFIX}wte.weight"]
    if not torch.equal(found.pop(_HEAD, embedding).float(), embedding):
        raise ForeignModelError(f"{path}: {_HEAD} is not wte.weight; a GPT-2 has one for both")
    if unknown := [name for name in found if not name.endswith(_MASKS)]:
        raise ForeignModelError(f"{path}: a GPT-2 has no tensor {min(unknown)!r}")
    model = GPT2(shape, seed=0)
    model.load_state_dict(state | {_HEAD: embedding})
    return model.eval()


def _shape(path: Path) -> GPT2Shape:
    """The sizes that a config.json gives."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path}: no readable config: {error}") from error
    if not isinstance(config, dict) or config.get("architectures") != [_CLASS]:
        raise ForeignModelError(f"{path}: no config of a {_CLASS}")
    for field, values in _HONOURED.items():
        if (value := config.get(field, values[0])) not in values:
            raise ForeignModelError(f"{path}: {field} is {value!r}; here it is {values[0]!r}")
    if missing := [field for field in _SIZES if field not in config and field != "n_inner"]:
        raise ModelFolderError(f"{path}: no field {missing[0]!r}")
    sizes: dict[str, Any] = {ours: config.get(theirs) for theirs, ours in _SIZES.items()}
    try:
        if sizes["intermediate_size"] is None:  # as in the published files
            sizes["intermediate_size"] = 4 * config["n_embd"]
        return GPT2Shape(**sizes)
    except (ArchitectureError, TypeError) as error:
        raise ModelFolderError(f"{path}: {error}") from error


def _tensors(shape: GPT2Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes of what a file of weights holds, matrices of blocks as (in, out)."""
    width, inner = shape.hidden_size, shape.intermediate_size
    yield "wte.weight", (shape.vocabulary_size, width)
    yield "wpe.weight", (shape.context, width)
    products = {
        "attn.c_attn": (width, 3 * width),
        "attn.c_proj": (width, width),
        "mlp.c_fc": (width, inner),
        "mlp.c_proj": (inner, width),
    }
    for layer in range(shape.layers):
        for part, size in products.items():
            yield f"h.{layer}.{part}.weight", size
            yield f"h.{layer}.{part}.bias", size[1:]
        for norm in ("ln_1", "ln_2"):
            yield f"h.{layer}.{norm}.weight", (width,)
            yield f"h.{layer}.{norm}.bias", (width,)
    yield "ln_f.weight", (width,)
    yield "ln_f.bias", (width,)
