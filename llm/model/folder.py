"""A model as a folder that transformers loads unchanged.

config.json             the architecture and the tokenizer's digest (`config_file.py`)
model.safetensors       float32, parameter names of transformers, a tied matrix once
generation_config.json  where generation ends
tokenizer.json, ...     the tokenizer's own files
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
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
from llm.tokens import hf_folder
from llm.tokens.special_tokens import END_OF_TEXT, PAD, TURN_END

WEIGHTS = "model.safetensors"
_LFS = b"version https://git-lfs"


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


def _weights(folder: Path, shape: Architecture) -> dict[str, torch.Tensor]:
    """The parameters in a folder by name, the tied matrix under both of its names."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise _without_weights(folder)
    try:
        state: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        with path.open("rb") as stream:
            pointer = stream.read(len(_LFS)) == _LFS
        why = "it is a pointer of Git LFS; run git lfs pull" if pointer else str(error)
        raise ModelFolderError(f"{path}: no readable weights: {why}") from error
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


def _without_weights(folder: Path) -> ModelFolderError:
    """What to say of a folder without `model.safetensors`."""
    shards = len(list(folder.glob("model-*-of-*.safetensors")))
    if shards:
        return ForeignModelError(
            f"{folder} holds its weights in {shards} files, and {WEIGHTS} is read alone; save it "
            'again in one: model.save_pretrained(folder, max_shard_size="1TB")'
        )
    if any(folder.glob("*.bin")):
        return ForeignModelError(
            f"{folder} holds its weights as a pickle, which is not read; save it again with "
            "transformers 5, which writes safetensors"
        )
    return ModelFolderError(f"{folder / WEIGHTS} is missing")


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
