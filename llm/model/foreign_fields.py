"""Fields of a config.json that make another model of the same weights, and are not honoured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NO_EFFECT = {"rope_type": "default", "type": "default", "partial_rotary_factor": 1.0}


def not_honoured(config: Mapping[str, Any]) -> list[str]:
    """`field is value, taken is another`, one for each field of transformers' Qwen3 and Llama that
    changes what a model computes and that the model here has not; none where all is well."""
    return [
        f"{field} is {found!r}, taken is {taken}" for field, found, taken in _differences(config)
    ]


def _differences(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    if config.get("hidden_act") not in (None, "silu", "swish"):
        yield "hidden_act", config["hidden_act"], "silu"
    for field in ("attention_bias", "mlp_bias", "use_sliding_window"):
        if config.get(field):
            yield field, config[field], "false"
    # Qwen3 names a window and does not use it unless it says so.
    if config.get("sliding_window") is not None and "use_sliding_window" not in config:
        yield "sliding_window", config["sliding_window"], "null"
    kinds = config.get("layer_types")
    if kinds is not None and (
        not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds)
    ):
        yield "layer_types", kinds, "full_attention in every layer"
    if config.get("quantization_config") is not None:
        yield "quantization_config", config["quantization_config"], "null"
    if config.get("partial_rotary_factor") not in (None, 1):
        yield "partial_rotary_factor", config["partial_rotary_factor"], "1.0"
    for section in ("rope_parameters", "rope_scaling"):
        yield from _scaling(section, config.get(section))


def _scaling(section: str, rope: Any) -> Iterator[tuple[str, Any, str]]:
    """What a description of rotary embeddings asks for beside their base."""
    if rope is None:
        return
    if not isinstance(rope, dict):
        yield section, rope, "an object"
        return
    for field, value in rope.items():
        if field != "rope_theta" and value is not None and value != _NO_EFFECT.get(field):
            yield f"{section}.{field}", value, str(_NO_EFFECT.get(field, "null"))
