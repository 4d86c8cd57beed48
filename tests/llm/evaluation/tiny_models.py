"""Model folders of a few thousand parameters, and validation examples from docstrings."""

from __future__ import annotations

import inspect
import string
import textwrap
from pathlib import Path
from typing import Any

import torch

from llm.model.architecture import Architecture
from llm.model.folder import save
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.tokens.special_tokens import END_OF_TEXT
from tests.llm.tokens.small_tokenizer import SIZE, small_folder

torch.set_num_threads(1)


def tiny_model(context: int = 64, seed: int = 0, qk_norm: bool = True) -> Transformer:
    architecture = Architecture(
        vocabulary_size=SIZE,
        hidden_size=64,
        intermediate_size=128,
        layers=2,
        heads=4,
        key_value_heads=2,
        head_dim=16,
        context=context,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        qk_norm=qk_norm,
        tied=qk_norm,
    )
    model = Transformer(architecture)
    initialise(model, seed)
    with torch.no_grad():  # as first drawn, all tokens are about as likely
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    return model.eval()


def model_folder(
    folder: Path, model: Transformer | None = None, eos_token: str = END_OF_TEXT
) -> Path:
    tokenizer = small_folder(folder.parent / "tokenizer")
    save(tiny_model() if model is None else model, folder, tokenizer, eos_token)
    return folder


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _facts() -> list[tuple[str, str]]:
    members = {**vars(textwrap), **vars(string)}
    found = []
    for name, member in sorted(members.items()):
        text = inspect.getdoc(member) if callable(member) else None
        if text and not name.startswith("_"):
            found.append((f"What is {name}?", text.split(". ")[0][:80]))
    return found


FACTS = _facts()


def instruction_rows() -> list[dict[str, Any]]:
    return [
        {
            "doc_id": f"{number:032x}",
            "source": "test",
            "split": "train" if number == 1 else "validation",
            "parent_doc_ids": [],
            "messages": [said("user", question), said("assistant", answer)],
        }
        for number, (question, answer) in enumerate(FACTS)
    ]


def preference_rows() -> list[dict[str, Any]]:
    return [
        {
            "doc_id": f"{number + 100:032x}",
            "source": "test",
            "split": "validation",
            "parent_doc_ids": [],
            "prompt": [said("user", question)],
            "chosen": [said("assistant", answer)],
            "rejected": [said("assistant", FACTS[number - 1][1])],
        }
        for number, (question, answer) in enumerate(FACTS)
    ]
