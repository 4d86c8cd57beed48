"""`pretrain.size`: one field that stands for the shape of a model, its tokens, batch and rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm.training.planner import rules, sizes


def sized(record: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A record of fields with those that its size stands for.

    Raises:
        ValueError: no preset reaches the size, or a field of the shape says something else.
    """
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
    found = dict(record)
    for name, value in shape.items():
        said = record.get(name, defaults[name])
        if said not in (value, defaults[name]):
            raise ValueError(
                f"size: {record['size']} has {name} {value}, and {name} says {said}; leave one of "
                "the two out"
            )
        found[name] = value
    ruled: dict[str, float] = {
        "tokens": rules.tokens(size.parameters),
        "batch_tokens": rules.batch_tokens(size.parameters),
        "learning_rate": rules.learning_rate(size.parameters),
    }
    left_open = [name for name in ruled if record.get(name, defaults[name]) == defaults[name]]
    return found | {name: ruled[name] for name in left_open}
