"""Low-rank adapters (Hu et al. 2021) around the matrices of a model, by peft.

What is trained is small: two thin matrices a target. They are merged into the model when its
training ends, so that what is published is a model like any other: what reads it (other stages,
other programs) needs no peft, and no adapter can come to lie beside another base.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from llm.alignment.run_file import Lora
from llm.errors import ExpectedError

ALL_LINEAR = "all-linear"


class LoraTargetError(ExpectedError, ValueError):
    """A target is no matrix of the model; names those that are."""


def adapted(held: Any, lora: Lora, seed: int) -> Any:
    """peft's model around transformers' own, in whose modules the adapters come to lie.

    The second matrix of an adapter is zero, so that the model is at first what it was. Dropout of
    the model's own is turned off: its matrices are not trained.

    Raises:
        LoraTargetError: there is no such matrix.
    """
    from peft import LoraConfig, get_peft_model
    from trl.trainer.utils import disable_dropout_in_model

    targets = _targets(held, lora)
    disable_dropout_in_model(held)
    torch.manual_seed(seed)
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(_transposed(held, target) for target in targets),
    )
    return get_peft_model(held, settings)


def merge(model: Any) -> None:
    """Add what the adapters came to be to the matrices around which they lie, and take them out."""
    model.merge_and_unload(safe_merge=True)


def _targets(held: Any, lora: Lora) -> list[str]:
    """Names of the modules to adapt; the head, which may be the embedding, is none of them."""
    names = sorted({name.rpartition(".")[2] for name, _ in _matrices(held)})
    if lora.targets == (ALL_LINEAR,):
        return names
    missing = [target for target in lora.targets if target not in names]
    if missing:
        raise LoraTargetError(
            f"lora_targets: {', '.join(missing)} is no matrix of {type(held).__name__}; it has "
            f"{', '.join(names)}, and {ALL_LINEAR} stands for all of them"
        )
    return list(lora.targets)


def _matrices(held: Any) -> Iterator[tuple[str, nn.Module]]:
    from transformers.pytorch_utils import Conv1D

    head = held.get_output_embeddings()
    for name, module in held.named_modules():
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head:
            yield name, module


def _transposed(held: Any, target: str) -> bool:
    """Whether a matrix lies as GPT-2's do: inputs by outputs."""
    return any(
        name.rpartition(".")[2] == target and not isinstance(module, nn.Linear)
        for name, module in _matrices(held)
    )
