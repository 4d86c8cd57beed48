"""Folders that would load as another model, or are damaged, are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm.model.config_file import ForeignModelError, ModelFolderError
from llm.model.folder import load, save
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.tokens.special_tokens import END_OF_TEXT
from tests.llm.model.test_against_transformers import QWEN
from tests.llm.tokens.small_tokenizer import small_folder

torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = Transformer(QWEN)
    initialise(model, 1)
    save(model, tmp_path / "model", small_folder(tmp_path / "tokenizer"), END_OF_TEXT)
    return tmp_path / "model"


def change(folder: Path, fields: dict[str, object]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
            "rope_parameters.rope_type",
        ),
        ({"rope_parameters": {"rope_theta": 1e4, "factor": 4.0}}, "rope_parameters.factor"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary"),
        ({"rope_parameters": [1]}, "rope_parameters"),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, "rope_scaling.type"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', taken is silu"),
        ({"use_sliding_window": True, "sliding_window": 8}, "use_sliding_window"),
        ({"sliding_window": 8}, "sliding_window"),
        ({"layer_types": ["sliding_attention"]}, "layer_types"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True, "hidden_act": "relu"}, "hidden_act.*mlp_bias"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_what_is_not_honoured_is_named(folder: Path, fields: dict[str, object], named: str) -> None:
    change(folder, fields)
    with pytest.raises(ForeignModelError, match=named):
        load(folder)


def test_fields_that_change_nothing(folder: Path) -> None:
    change(folder, {"rope_scaling": None, "use_sliding_window": False, "sliding_window": 4096})
    change(folder, {"layer_types": ["full_attention"] * 3, "quantization_config": None})
    load(folder)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hidden_size": "48"}, "hidden_size is '48'"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"num_key_value_heads": 3}, "config.json: 4 query heads"),
        ({"rms_norm_eps": None}, "rms_norm_eps is None"),
        ({"rope_parameters": None, "rope_theta": "x"}, "rope_theta is 'x'"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1"),
        ({"tokenizer_sha256": 5}, "tokenizer_sha256 is 5"),
        ({"architectures": "Qwen3ForCausalLM"}, "architectures is 'Qwen3"),
        ({"architectures": []}, "architectures is"),
        ({"vocab_size": 10**12}, "does not fit.*parameters of"),
    ],
)
def test_a_field_that_is_no_such_thing(folder: Path, fields: dict[str, object], named: str) -> None:
    change(folder, fields)
    with pytest.raises(ModelFolderError, match=named):
        load(folder)


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("config.json", lambda data: b"[]", "config.json: a list"),
        ("config.json", lambda data: data[:-9], "config.json: no readable config"),
        ("model.safetensors", lambda data: data[:-100], "no readable weights"),
        ("model.safetensors", lambda data: data[:50], "no readable weights"),
        ("model.safetensors", lambda data: b"", "no readable weights"),
        (
            "model.safetensors",
            lambda data: b"version https://git-lfs.github.com/spec/v1\nsize 1\n",
            "git lfs pull",
        ),
    ],
)
def test_a_damaged_file(
    folder: Path, name: str, damage: Callable[[bytes], bytes], told: str
) -> None:
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelFolderError, match=told):
        load(folder)


def test_weights_under_other_names_or_of_another_kind(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    save_file({name.removeprefix("model."): value for name, value in state.items()}, path)
    with pytest.raises(
        ModelFolderError, match=r"no model\.embed_tokens\.weight among embed_tokens"
    ):
        load(folder)
    head = state["model.embed_tokens.weight"]
    save_file(state | {"lm_head.weight": head * 2}, path)
    with pytest.raises(ForeignModelError, match="tie_word_embeddings"):
        load(folder)
    save_file(state | {"lm_head.weight": head.clone()}, path)
    load(folder)
    save_file({name: value.to(torch.int8) for name, value in state.items()}, path)
    with pytest.raises(ForeignModelError, match=r"is torch\.int8"):
        load(folder)
