"""The quickstart's model with random weights, which is as fast as a trained one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from llm.model.architecture import Architecture
from llm.model.folder import save
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.tokens.bpe import BpeSettings, train
from llm.tokens.hf_folder import write_folder
from llm.tokens.special_tokens import END_OF_TEXT

# A test holds it against deployments/recipes/quickstart.yaml.
SHAPE = Architecture(
    vocabulary_size=4096,
    hidden_size=128,
    intermediate_size=384,
    layers=4,
    heads=2,
    key_value_heads=1,
    head_dim=64,
    context=256,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    qk_norm=True,
    tied=True,
)


def random_folder(folder: Path, texts: Sequence[str], spread: float, end: str) -> Path:
    """A folder of the model with a tokenizer of these texts.

    Args:
        spread: what first weights are multiplied by; as drawn, all tokens are about as likely.
        end: the token that ends an answer.
    """
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    write_folder(
        train(texts, BpeSettings(SHAPE.vocabulary_size, 2, 16, "single")), tokenizer, END_OF_TEXT
    )
    model = Transformer(SHAPE)
    initialise(model, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(spread)
    save(model, folder / "random", tokenizer, end)
    return folder / "random"
