"""A model of transformers without its head, for one that gives a number in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm.foreign.model import ForeignShape, UnloadableModelError, shape_of
from llm.model.config_file import ModelFolderError


class NoClassifierError(ModelFolderError):
    """transformers has no class that gives conversations of an architecture a number."""


class Backbone(nn.Module):
    """Token ids to hidden states.

    Args:
        held: transformers' model with a head of any kind.

    Attributes:
        hidden_size: width of the states.
    """

    def __init__(self, held: Any) -> None:
        super().__init__()
        self._prefix = held.base_model_prefix
        self.held = getattr(held, self._prefix)
        self.architecture: ForeignShape = shape_of(held)
        self.hidden_size = int(held.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        found: torch.device = next(self.held.parameters()).device
        return found

    def hidden(self, tokens: Tensor) -> Tensor:
        """Final hidden states: (B, T) int64 -> (B, T, D)."""
        states: Tensor = self.held(tokens, use_cache=False).last_hidden_state
        return states

    def named_weights(self) -> dict[str, Tensor]:
        """Parameters by the names they have in the files of a model with a head."""
        state = self.held.state_dict(keep_vars=True)
        return {f"{self._prefix}.{name}": value for name, value in state.items()}


def class_beside(causal: str, model_type: str) -> str:
    """The class of transformers that gives a number where `causal` gives a token.

    Raises:
        NoClassifierError: there is none.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSES,
    )

    found = CLASSES.get(model_type)
    if not isinstance(found, str):
        raise NoClassifierError(
            f"transformers has no class for {model_type} that gives a conversation a number, so "
            f"no reward model can be made of {causal}; start from a Llama, Qwen, Mistral or GPT-2"
        )
    return found


def load_with_reward(folder: Path) -> tuple[Backbone, Tensor]:
    """The reward model in a folder: all but its read-out, and that, (1, D); float32, on the CPU.

    Raises:
        UnloadableModelError: transformers does not load it.
    """
    from transformers import AutoModelForSequenceClassification

    try:
        held, report = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise UnloadableModelError(
            f"{folder} is no reward model that transformers loads: {error}"
        ) from error
    missing = sorted(map(str, report["missing_keys"]))
    if missing or not hasattr(held, "score"):
        raise UnloadableModelError(
            f"{folder} is no reward model: there are no weights for {', '.join(missing[:3])}; one "
            "is what the stage reward publishes"
        )
    weight: Tensor = held.score.weight
    return Backbone(held.eval()), weight.detach()
