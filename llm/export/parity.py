"""Proof that an exported folder is the model: transformers alone against our own code.

| check | compared | allowed |
|---|---|---|
| logits | max abs(ours - theirs) / max abs(theirs), float32, all positions | tolerance |
| greedy | tokens of the greedy continuation that differ | none |
| tokenizer | token ids that differ | none |
| chat_template | characters that differ from ChatML written by hand, and ids of both | none |

Of a model whose architecture is not ours transformers computes both sides: what is shown then is
that the files alone give the model. Of a template that is not ours, a conversation is held against
what our encoder sends; those that it refuses, and all where it writes the date, are left out.

Prompts and texts are text: one that spells out a special token is those characters. Of a
conversation the frame has special tokens.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from llm.errors import ExpectedError
from llm.export.isolated import ask
from llm.export.parity_table import Check
from llm.export.probes import CHATS, TEXTS, chatml
from llm.export.stops import stop_ids
from llm.foreign.model import AnyModel, open_model
from llm.model.generation import generate
from llm.tokens.chat import ChatEncoder, TemplateError
from llm.tokens.hf_folder import load_tokenizer
from llm.tokens.special_tokens import SPECIAL_TOKENS

_REFERENCE = Path(__file__).resolve().with_name("reference.py")


class PromptTooLongError(ExpectedError, ValueError):
    """No prompt of the comparison leaves room for a continuation."""


def compare(
    folder: Path,
    prompts: Sequence[str],
    new_tokens: int,
    tolerance: float,
    threads: int,
    scratch: Path,
) -> list[Check]:
    """Every comparison, passed or not.

    Args:
        scratch: where the other process reads its task and leaves its answer.

    Prompts that leave no room for a continuation are left out.

    Raises:
        UnusableExportError, PromptTooLongError, ModelFolderError.
    """
    model = open_model(folder)
    framed = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True  # as text: see llm/tokens/chat.py
    context = model.architecture.context
    token_ids = {prompt: _ids(tokenizer, prompt) for prompt in prompts}
    fitting = {prompt: row for prompt, row in token_ids.items() if 0 < len(row) < context}
    if not fitting:
        lengths = ", ".join(f"{prompt[:40]!r} has {len(row)}" for prompt, row in token_ids.items())
        raise PromptTooLongError(
            f"no prompt has between 1 and {context - 1} tokens, which leave room for a "
            f"continuation: {lengths}; shorten them"
        )
    prompts, ids = list(fitting), list(fitting.values())
    texts, chats = [*TEXTS, *prompts], _conversations(folder)
    question = {
        "folder": str(folder),
        "prompts": [
            {"text": prompt, "new_tokens": min(new_tokens, context - len(row))}
            for prompt, row in zip(prompts, ids, strict=True)
        ],
        "texts": texts,
        "chats": list(chats.values()),
        "threads": threads,
    }
    reply = ask(_REFERENCE, question, scratch, f"transformers alone cannot use {folder}")
    with np.load(scratch / "logits.npz") as stored:
        theirs = [stored[f"prompt{number}"] for number in range(len(prompts))]
    checks = [
        Check("logits", prompt, _relative(model, row, expected), tolerance)
        for prompt, row, expected in zip(prompts, ids, theirs, strict=True)
    ]
    stops = stop_ids(folder)
    ours = generate(model, ids, new_tokens, stops)
    for prompt, row, made in zip(prompts, ours, reply["continued"], strict=True):
        ended = list(itertools.takewhile(lambda token: token not in stops, made))
        checks.append(Check("greedy", prompt, _differing(row, ended), 0))
    for text, expected in zip(texts, reply["ids"], strict=True):
        checks.append(Check("tokenizer", text, _differing(_ids(tokenizer, text), expected), 0))
    for wanted, text, expected in zip(chats, reply["chats"], reply["chat_ids"], strict=True):
        difference = _differing(wanted, text) + _differing(_ids(framed, wanted), expected)
        checks.append(Check("chat_template", wanted, difference, 0))
    return checks


def _conversations(folder: Path) -> dict[str, Sequence[Mapping[str, str]]]:
    """Conversations by what they must be rendered as."""
    added = load_tokenizer(folder).get_added_tokens_decoder().values()
    if {token.content for token in added if token.special} >= set(SPECIAL_TOKENS):
        return {chatml(chat): chat for chat in CHATS}
    encoder = ChatEncoder(folder)
    found = {}
    for chat in CHATS if not encoder.dated else ():
        with contextlib.suppress(TemplateError):
            found[encoder.whole(chat)] = chat
    return found


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@torch.inference_mode()
def _relative(model: AnyModel, ids: Sequence[int], theirs: np.ndarray[Any, Any]) -> float:
    ours = model(torch.tensor([list(ids)]))[0].numpy()
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _differing(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """Places that differ, one for each of the longer's surplus."""
    pairs = itertools.zip_longest(ours, theirs, fillvalue=None)
    return sum(a != b for a, b in pairs)
