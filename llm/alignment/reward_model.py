"""A model that gives a conversation a number: the higher, the better its answer.

The number is read off the final hidden state of the last token by one row of weights, as
transformers' classes for sequence classification do with one label, so that the folder is one that
`AutoModelForSequenceClassification` loads:

config.json         of the language model it is made from, with one label named "reward"
model.safetensors   float32; `model.…` as in the language model, and `score.weight` (1, D)
tokenizer.json, ... the tokenizer's own files
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llm.alignment.checks import TrainerDataError
from llm.errors import ExpectedError
from llm.foreign.backbone import Backbone, class_beside, load_with_reward
from llm.foreign.folder import ends_in
from llm.foreign.model import AnyModel, ForeignModel
from llm.model.config_file import ModelFolderError, architecture, check_tokenizer, is_ours
from llm.model.folder import read_weights, save_tuned
from llm.model.scoring import Report, batches
from llm.model.transformer import Transformer

_CLASSIFIES = "ForSequenceClassification"
_BACKBONE, _SCORE = "model.", "score.weight"


class RewardModelError(ExpectedError, ValueError):
    """A folder is not a reward model; names the file and what is wrong with it."""


class RewardModel(nn.Module):
    """A language model's backbone and the read-out of a reward.

    Attributes:
        transformer: its output matrix is not used.
    """

    def __init__(self, transformer: AnyModel | Backbone, seed: int = 0) -> None:
        """The read-out is drawn from a normal distribution of variance 1 / (D + 1), as in Stiennon
        et al. 2020."""
        super().__init__()
        if isinstance(transformer, ForeignModel):
            transformer = Backbone(transformer.held)
        self.transformer = transformer
        if isinstance(transformer, Backbone):
            size = transformer.hidden_size
        else:
            size = transformer.architecture.hidden_size
        self.score = nn.Linear(size, 1, bias=False)
        random = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.score.weight, std=(size + 1) ** -0.5, generator=random)
        self.score.to(transformer.device)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Final hidden states: (B, T) int64 -> (B, T, D)."""
        return self.transformer.hidden(tokens)

    def read(self, states: Tensor) -> Tensor:
        """Rewards of final hidden states: (N, D) -> (N,), float32."""
        return torch.mv(states.float(), self.score.weight[0])

    def named_weights(self) -> dict[str, Tensor]:
        """The parameters by the names transformers gives them."""
        found = self.transformer
        if isinstance(found, Backbone):
            kept = found.named_weights()
        else:
            state = found.state_dict(keep_vars=True)
            kept = {name: value for name, value in state.items() if name.startswith(_BACKBONE)}
        return kept | {_SCORE: self.score.weight}


@torch.inference_mode()
def score(
    model: RewardModel,
    hidden: Callable[[Tensor], Tensor],
    sequences: Sequence[Sequence[int]],
    batch_tokens: int,
    report: Report,
) -> NDArray[np.float64]:
    """Rewards of conversations, float64 (N,).

    Args:
        hidden: final hidden states of the model's backbone, int64 (B, T) -> (B, T, D).
        sequences: tokens of each, to the end of the last turn.
        batch_tokens: of a forward pass at most, padding included; a longer one goes alone.
    """
    device = model.score.weight.device
    rewards, done = np.empty(len(sequences)), 0
    for rows in batches([len(sequence) for sequence in sequences], batch_tokens):
        lengths = torch.tensor([len(sequences[row]) for row in rows])
        tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        for at, row in enumerate(rows):
            tokens[at, : len(sequences[row])] = torch.as_tensor(list(sequences[row]))
        states = hidden(tokens.to(device))[torch.arange(len(rows)), lengths - 1]
        rewards[rows] = model.read(states).cpu().double().numpy()
        done += len(rows)
        report(done, len(sequences))
    return rewards


def save(model: RewardModel, folder: Path, start: Path) -> None:
    """Write a folder; `start` is that of the language model it is made from."""
    config = json.loads((start / "config.json").read_text(encoding="utf-8"))
    fields = {
        "architectures": [class_beside(config["architectures"][0], config["model_type"])],
        "id2label": {"0": "reward"},
        "label2id": {"reward": 0},
    }
    save_tuned(model.named_weights(), folder, start, ends_in(start), fields)


def load(folder: Path) -> RewardModel:
    """The reward model in a folder, float32, on the CPU.

    Raises:
        RewardModelError: it is none.
        ModelFolderError: of a language model's folder too.
        TokenizerMismatchError: the tokenizer beside it is not the one it was trained with.
    """
    check_tokenizer(folder, folder)
    if not is_ours(folder, _CLASSIFIES):
        backbone, weight = load_with_reward(folder)
        model = RewardModel(backbone)
        with torch.no_grad():
            model.score.weight.copy_(weight)
        return model.eval()
    shape = architecture(folder, _CLASSIFIES)
    # Nothing reads the output matrix: it takes no memory where it is the embedding.
    model = RewardModel(Transformer(replace(shape, tied=True)))
    try:
        found = read_weights(folder)
    except ModelFolderError as error:
        raise RewardModelError(str(error)) from error
    weights = model.named_weights()
    wrong = sorted(
        name
        for name in weights.keys() | found.keys()
        if name not in found or name not in weights or found[name].shape != weights[name].shape
    )
    if wrong:
        raise RewardModelError(
            f"the weights in {folder} do not fit config.json beside them: "
            f"{', '.join(wrong[:3])}; a reward model is what the stage reward publishes"
        )
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(found[name])
    return model.eval()


def transformers_model(model: RewardModel, folder: Path, pad: int) -> Any:
    """transformers' class around the parameters of `model`; `folder` is of the language model."""
    from accelerate import init_empty_weights  # type: ignore[import-untyped]
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(str(folder), num_labels=1, pad_token_id=pad)
    with init_empty_weights(include_buffers=False):
        found = AutoModelForSequenceClassification.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa"
        )
    found.load_state_dict(model.named_weights(), assign=True)
    return found


def compute_with(model: RewardModel, held: Any) -> None:
    """Let a trainer's calls of its model `held` be computed by `model`."""
    from transformers.modeling_outputs import SequenceClassifierOutputWithPast

    def forward(input_ids: Tensor, attention_mask: Tensor, use_cache: bool = False) -> Any:
        if (attention_mask[:, 1:] > attention_mask[:, :-1]).any():
            raise TrainerDataError(
                "the trainer pads rows on the left; this version of TRL prepares batches "
                "differently. Use the versions of requirements.lock"
            )
        rows = torch.arange(len(input_ids), device=input_ids.device)
        states = model.hidden(input_ids)[rows, attention_mask.sum(1) - 1]
        return SequenceClassifierOutputWithPast(logits=model.read(states)[:, None])

    held.forward = forward
