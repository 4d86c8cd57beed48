"""The model as TRL's trainers ask for it: transformers' class around the parameters of ours.

A trainer optimises, counts and saves transformers' model; what is computed is our forward pass,
which beats transformers' on a CPU by a third and leaves out what no loss reads: padding (a causal
model's earlier positions cannot see what is behind them) and, in the head, prompts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm.alignment.answer_head import answer_statistics
from llm.alignment.checks import TrainerDataError
from llm.model.transformer import Transformer

_IGNORED = -100


def transformers_model(model: Transformer, folder: Path) -> Any:
    """transformers' model of a folder's config.json; its parameters are those of `model`."""
    from accelerate import init_empty_weights  # type: ignore[import-untyped]
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder))
    with init_empty_weights(include_buffers=False):
        found = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa"
        )
    found.load_state_dict(model.state_dict(keep_vars=True), assign=True)
    return found


def compute_with(model: Transformer, held: Any, temperature: float) -> None:
    """Let a trainer's calls of its model `held` be computed by `model`.

    What TRL asks for as `fused_lm_head`: of every token that has a label, log-probability, entropy,
    mean logit and whether it is the likeliest, 0 elsewhere.

    Args:
        temperature: what logits are divided by.
    """
    from trl.trainer.utils import FusedCausalLMOutput

    def forward(
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        fused_lm_head: bool,
        use_cache: bool = False,
    ) -> Any:
        targets = labels[:, 1:]
        scored = targets != _IGNORED
        # The same rows from their first token on; what is scored keeps its order.
        tokens, kept = _from_the_first(input_ids, attention_mask, labels != _IGNORED)
        states = model.hidden(tokens[:, :-1])[kept[:, 1:]]
        if temperature != 1:
            states = states / temperature
        kind = states.device.type
        wide = states.dtype
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else wide
        found = answer_statistics(states, model.lm_head.weight, targets[scored], dtype)
        placed = {
            name: value.new_zeros(scored.shape).masked_scatter(scored, value)
            for name, value in found._asdict().items()
        }
        loss = -placed["log_probs"].sum() / scored.sum().clamp(min=1)
        return FusedCausalLMOutput(loss=loss, label_mask=scored, **placed)

    held.forward = forward


def _from_the_first(tokens: Tensor, mask: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (B, T), and which of them are scored, with the padding on a row's left behind it.

    Raises:
        TrainerDataError: there is padding between tokens.
    """
    width = mask.shape[1]
    lead = mask.argmax(1, keepdim=True)
    places = (torch.arange(width, device=mask.device) + lead) % width
    moved = mask.gather(1, places)
    if (moved[:, 1:] > moved[:, :-1]).any():
        raise TrainerDataError(
            "the trainer pads within rows; this version of TRL prepares batches differently. "
            "Use the versions of requirements.lock"
        )
    if not lead.any():
        return tokens, scored
    return tokens.gather(1, places), scored.gather(1, places)
