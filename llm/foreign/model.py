"""A model that transformers computes, where one of ours would stand.

Of a folder whose architecture ours is, ours computes: it is the faster one. Of any other
transformers' own forward pass does, and what a tuned, measured or exported model is asked for is
answered by this class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm.foreign.inference import ForeignInference
from llm.model import folder as model_folder
from llm.model.config_file import ModelFolderError, check_tokenizer, is_ours
from llm.model.transformer import Transformer

# Where configs say how much a model reads at once.
_CONTEXTS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
_UNKNOWN_CONTEXT = 2048
_PROBE = 8  # tokens


class UnloadableModelError(ModelFolderError):
    """transformers does not load a folder as a causal language model; carries what it says."""


class NonFiniteWeightsError(ModelFolderError):
    """Weights of a model are not numbers to compute with."""


@dataclass(frozen=True)
class ForeignShape:
    """What is known of any architecture.

    Attributes:
        name: of its class in transformers.
        context: longest sequence it is meant for.
        vocabulary_size: width of its logits.
        parameters: a tied matrix counted once.
    """

    name: str
    context: int
    vocabulary_size: int
    parameters: int


class ForeignModel(nn.Module):
    """transformers' model, in the places where a `Transformer` is asked.

    Attributes:
        held: transformers' own.
    """

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held
        self.architecture = shape_of(held)
        self._whole = False
        self._whole = not self._in_halves()

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        found: torch.device = next(self.held.parameters()).device
        return found

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits: (B, T) int64 -> (B, T, vocabulary)."""
        return self.lm_head(self.hidden(tokens))

    def hidden(self, tokens: Tensor) -> Tensor:
        """What `lm_head` makes logits of: (B, T) int64 -> (B, T, D); of a model that changes logits
        behind its head the logits themselves."""
        if self._whole:
            logits: Tensor = self.held(tokens, use_cache=False).logits
            return logits
        states: Tensor = self.backbone(tokens, use_cache=False).last_hidden_state
        return states

    def lm_head(self, states: Tensor) -> Tensor:
        """(N, D) -> (N, V)."""
        if self._whole:
            return states
        logits: Tensor = self.held.get_output_embeddings()(states)
        return logits

    @property
    def backbone(self) -> Any:
        """All of it but the head."""
        return getattr(self.held, self.held.base_model_prefix)

    def continued(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Logits behind the last of a row's new tokens, (1, T) -> (1, V), and its cache."""
        if self._whole:
            made = self.held(tokens, past_key_values=cache, use_cache=True)
            return made.logits[:, -1], made.past_key_values
        made = self.backbone(tokens, past_key_values=cache, use_cache=True)
        return self.lm_head(made.last_hidden_state[:, -1]), made.past_key_values

    def lay_out(self, places: int, longest: int) -> ForeignInference:
        """For generation: so many rows, each of up to `longest` positions."""
        return ForeignInference(self, places, longest)

    @torch.no_grad()
    def _in_halves(self) -> bool:
        """Whether logits are what the head makes of the backbone's states, and no more."""
        prefix = self.held.base_model_prefix
        if not prefix or not hasattr(self.held, prefix) or not self.held.get_output_embeddings():
            return False
        training = self.held.training
        self.held.eval()
        tokens = torch.arange(_PROBE, device=self.device)[None]
        whole = self.held(tokens, use_cache=False).logits
        halves = self.lm_head(self.hidden(tokens))
        self.held.train(training)
        return halves.shape == whole.shape and torch.allclose(halves, whole, atol=1e-5)


AnyModel = Transformer | ForeignModel


def weights_of(model: AnyModel) -> dict[str, Tensor]:
    """Parameters by the names they have in a folder's files; a tied matrix under all of its
    names."""
    module = model.held if isinstance(model, ForeignModel) else model
    found: dict[str, Tensor] = module.state_dict()
    return found


def open_model(folder: Path) -> AnyModel:
    """The model in a folder laid out as Ingot's are, float32, on the CPU.

    Raises:
        ModelFolderError: a file is missing or does not fit the others.
        TokenizerMismatchError: the tokenizer beside it is not the one it was trained with.
    """
    check_tokenizer(folder, folder)
    return model_folder.load(folder) if is_ours(folder) else load_foreign(folder)


def load_foreign(folder: Path) -> ForeignModel:
    """The model in a folder as transformers loads it, float32, on the CPU, not in training.

    Raises:
        UnloadableModelError: it is none, or some of its weights are missing.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        held, report = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as error:
        first = str(error).strip().partition("\n")[0]
        raise UnloadableModelError(
            f"{folder} is no causal language model that transformers loads: {first}; give a folder "
            "that AutoModelForCausalLM.save_pretrained wrote (safetensors, no code of its own)"
        ) from error
    missing = sorted(map(str, report["missing_keys"]))
    if missing:
        raise UnloadableModelError(
            f"{folder}: config.json describes {type(held).__name__}, and there are no weights for "
            f"{', '.join(missing[:3])}; take the files of one model"
        )
    return ForeignModel(held.eval())


def check_finite(model: nn.Module, folder: Path) -> None:
    """Make sure that all weights are numbers.

    Raises:
        NonFiniteWeightsError: some are not; names them.
    """
    wrong = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if wrong:
        raise NonFiniteWeightsError(
            f"{folder}: {', '.join(wrong[:3])} of its weights hold NaN or infinity: the training "
            "that wrote them diverged; take an earlier checkpoint of it"
        )


def shape_of(held: Any) -> ForeignShape:
    """Of transformers' model."""
    width = held.get_input_embeddings().weight.shape[0]
    count = sum(value.numel() for value in held.parameters())
    return ForeignShape(type(held).__name__, context_of(held.config), int(width), count)


def context_of(config: Any) -> int:
    """Longest sequence, in tokens, that a config of transformers says a model is meant for."""
    sizes = (getattr(config, name, None) for name in _CONTEXTS)
    return int(next((size for size in sizes if size), _UNKNOWN_CONTEXT))
