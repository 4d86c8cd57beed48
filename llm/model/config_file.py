"""config.json of a model folder: the architecture it describes, the tokenizer it names.

It is written for the classes of transformers: Qwen3ForCausalLM with QK norm, LlamaForCausalLM
without; `tokenizer_sha256` names the tokenizer the model was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.errors import ExpectedError
from llm.model.architecture import Architecture, ArchitectureError
from llm.model.foreign_fields import not_honoured
from llm.sha256 import sha256_file
from llm.tokens.special_tokens import SPECIAL_TOKENS

_CLASSES = {True: ("Qwen3ForCausalLM", "qwen3"), False: ("LlamaForCausalLM", "llama")}


class ModelFolderError(ExpectedError, ValueError):
    """A folder is not a model this code can load; names the file and what is wrong with it."""


class ForeignModelError(ModelFolderError):
    """A model folder that another program wrote; says what it lacks and what would do."""


class TokenizerMismatchError(ExpectedError, ValueError):
    """A model was trained with another tokenizer: its ids mean other tokens."""


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 of a folder's tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing; a model and its tokenizer lie in one folder")
    return sha256_file(path)


def check_tokenizer(model: Path, tokenizer: Path) -> None:
    """Make sure that the tokenizer in one folder is the one the model in another was trained with.

    Raises:
        TokenizerMismatchError: it is not.
        ForeignModelError: the model does not say which it was trained with.
    """
    config, digest = _config(model), tokenizer_digest(tokenizer)
    trained, program = config.get("tokenizer_sha256"), _other_program(config)
    if trained is not None and not isinstance(trained, str):
        raise _wrong(model / "config.json", "tokenizer_sha256", trained, "a text")
    if trained is None:
        raise ForeignModelError(
            f"{model} was saved by {program or 'another program'}, not by Ingot: its config.json "
            "does not say which tokenizer the model was trained with. If it is "
            f'{tokenizer / "tokenizer.json"}, add "tokenizer_sha256": "{digest}" to config.json; a '
            f"tokenizer of Ingot has the special tokens {', '.join(SPECIAL_TOKENS)}"
        )
    if trained == digest:
        return
    if program and model.resolve() == tokenizer.resolve():
        raise TokenizerMismatchError(
            f"the model in {model} was trained with tokenizer {trained[:12]}, and saved again by "
            f"{program}, which writes tokenizer.json in other bytes ({digest[:12]}). Copy the "
            "tokenizer's files from the model it was made of into the folder"
        )
    raise TokenizerMismatchError(
        f"the model in {model} was trained with tokenizer {trained[:12]}, given is "
        f"{digest[:12]} ({tokenizer}): its ids would mean other tokens. Take the tokenizer "
        "beside the model, or train from the start with the new one"
    )


def is_ours(folder: Path, head: str = "ForCausalLM") -> bool:
    """Whether our own model computes what a folder's config.json describes.

    Args:
        head: what the names of transformers' classes end in.
    """
    config = _config(folder)
    listed = config.get("architectures")
    names = [name.replace("ForCausalLM", head) for name, _ in _CLASSES.values()]
    known = isinstance(listed, list) and bool(listed) and listed[0] in names
    return known and not not_honoured(config)


def architecture(folder: Path, head: str = "ForCausalLM") -> Architecture:
    """The architecture that a folder's config.json describes.

    Args:
        head: what the names of transformers' classes end in.

    Raises:
        ModelFolderError: a field is missing or is no such thing; a `ForeignModelError` where the
            model computes something this code does not.
    """
    config, path = _config(folder), folder / "config.json"
    names = {name.replace("ForCausalLM", head): qk_norm for qk_norm, (name, _) in _CLASSES.items()}
    listed = config.get("architectures")
    found = listed[0] if isinstance(listed, list) and listed else listed
    if not isinstance(found, str) or found not in names or found is listed:
        raise ModelFolderError(
            f"{path}: architectures is {listed!r}; it is a list of one of {', '.join(names)}"
        )
    if others := not_honoured(config):
        raise ForeignModelError(
            f"{path} describes a model that would be another one here: {'; '.join(others)}"
        )
    heads, hidden = _size(config, "num_attention_heads", path), _size(config, "hidden_size", path)
    stated = config.get("head_dim") is not None
    rope = config.get("rope_parameters") or {}
    theta = rope if rope.get("rope_theta") is not None else config
    tied = _field(config, "tie_word_embeddings", path)
    if not isinstance(tied, bool):
        raise _wrong(path, "tie_word_embeddings", tied, "true or false")
    try:
        return Architecture(
            vocabulary_size=_size(config, "vocab_size", path),
            hidden_size=hidden,
            intermediate_size=_size(config, "intermediate_size", path),
            layers=_size(config, "num_hidden_layers", path),
            heads=heads,
            key_value_heads=_size(config, "num_key_value_heads", path),
            head_dim=_size(config, "head_dim", path) if stated else max(1, hidden // heads),
            context=_size(config, "max_position_embeddings", path),
            rope_theta=_positive(theta, "rope_theta", path),
            norm_eps=_positive(config, "rms_norm_eps", path),
            qk_norm=names[found],
            tied=tied,
        )
    except ArchitectureError as error:
        raise ModelFolderError(f"{path}: {error}") from error


def _field(config: Mapping[str, Any], field: str, path: Path) -> Any:
    if field not in config:
        raise ModelFolderError(f"{path}: no field {field!r}")
    return config[field]


def _size(config: Mapping[str, Any], field: str, path: Path) -> int:
    value = _field(config, field, path)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(path, field, value, "a whole number from 1")
    return value


def _positive(config: Mapping[str, Any], field: str, path: Path) -> float:
    value = _field(config, field, path)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e300:
        raise _wrong(path, field, value, "a number above 0")
    return float(value)


def _wrong(path: Path, field: str, value: object, expected: str) -> ModelFolderError:
    return ModelFolderError(f"{path}: {field} is {value!r}; it is {expected}")


def to_config(a: Architecture) -> dict[str, Any]:
    """The fields of config.json that an architecture is written as."""
    name, kind = _CLASSES[a.qk_norm]
    return {
        "architectures": [name],
        "model_type": kind,
        "vocab_size": a.vocabulary_size,
        "hidden_size": a.hidden_size,
        "intermediate_size": a.intermediate_size,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.key_value_heads,
        "head_dim": a.head_dim,
        "max_position_embeddings": a.context,
        "rms_norm_eps": a.norm_eps,
        "tie_word_embeddings": a.tied,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        # transformers 5 reads the second, 4 the first; without it 4 takes 10,000 silently.
        "rope_theta": a.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": a.rope_theta},
        "use_cache": True,
        "dtype": "float32",
        "torch_dtype": "float32",
    }


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path}: no readable config: {error}") from error
    if not isinstance(config, dict):
        raise ModelFolderError(f"{path}: a {type(config).__name__}, expected an object of fields")
    return config


def _other_program(config: Mapping[str, Any]) -> str:
    """Which program wrote a config.json, if it says so; Ingot's own does not."""
    version = config.get("transformers_version")
    return f"transformers {version}" if version else ""
