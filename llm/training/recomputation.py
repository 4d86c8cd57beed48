"""Activation checkpointing: what the backward pass needs of a block is computed again, not kept
(Chen et al. 2016). Results are the same, memory less, time more.

| kind | kept of a block | computed again |
|---|---|---|
| none | everything | nothing |
| selective | products with weights, attention's output | norms, rotations, SwiGLU |
| full | its input | all of it, a third of a step |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from llm.model.transformer import Transformer
from llm.training.run_file import Recomputation

_aten = torch.ops.aten
_KEPT = {
    _aten.mm.default,
    _aten._scaled_dot_product_cudnn_attention.default,
    _aten._scaled_dot_product_efficient_attention.default,
    _aten._scaled_dot_product_flash_attention.default,
    _aten._scaled_dot_product_flash_attention_for_cpu.default,
}


def recompute(model: Transformer, kind: Recomputation) -> None:
    """Make the blocks of a model do so; names of parameters stay."""
    if kind == "none":
        return
    contexts = {} if kind == "full" else {"context_fn": _contexts}
    for layer in model.model.layers:
        # Set on the module, not around it: a module around it would rename its parameters.
        setattr(layer, "forward", _recompute(layer.forward, contexts))  # noqa: B010


def _recompute(forward: Callable[..., Tensor], contexts: dict[str, Any]) -> Callable[..., Tensor]:
    @functools.wraps(forward)
    def recomputed(*arguments: Any) -> Tensor:
        found: Tensor = checkpoint(
            forward, *arguments, use_reentrant=False, preserve_rng_state=False, **contexts
        )
        return found

    return recomputed


def _contexts() -> Any:
    return create_selective_checkpoint_contexts(_policy)  # type: ignore[no-untyped-call]


def _policy(context: Any, operation: Any, *arguments: Any, **named: Any) -> CheckpointPolicy:
    # Attention within bounds is there, and has a name, only once it was imported.
    kept = operation in _KEPT or operation.namespace in ("ingot", "torch_attn")
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
