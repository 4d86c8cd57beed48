"""`pretrain.size`: one field that stands for the shape of a model, its tokens, batch and rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm.training.planner import rules, sizes


def sized(record: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A record of fields with those that its size stands for.

    A form says all fields: there what is at its default is left open. A recipe says what it means.
    The size itself is gone from what is returned.

    Raises:
        ValueError: no preset reaches the size, or a field of the shape says something else.
    """
    form = defaults.keys() <= record.keys()
    said = {
        name: value
        for name, value in record.items()
        if not (form and name in defaults and value == defaults[name])
    }
    size = sizes.find(record["size"])
    a = size.architecture
    shape = {
        "hidden_size": a.hidden_size,
        "layers": a.layers,
        "heads": a.heads,
        "key_value_heads": a.key_value_heads,
        "head_dim": a.head_dim,
        "intermediate_size": a.intermediate_size,
        "tied_embeddings": a.tied,
    }
    for name, value in shape.items():
        if said.get(name, value) != value:
            raise ValueError(
                f"size: {record['size']} has {name} {value}, and {name} says {said[name]}; leave "
                "one of the two out"
            )
    ruled: dict[str, float] = {
        "tokens": rules.tokens(size.parameters),
        "batch_tokens": rules.batch_tokens(size.parameters),
        "learning_rate": rules.learning_rate(size.parameters),
        "rope_theta": a.rope_theta,
    }
    open_fields = {name: said.get(name, value) for name, value in ruled.items()}
    return {**record, **shape, **open_fields, "size": ""}  # from here on the fields say it
