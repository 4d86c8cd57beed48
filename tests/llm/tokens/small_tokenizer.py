"""A tokenizer trained on text every Python has: sources of the standard library."""

from __future__ import annotations

import argparse
import ast
import calendar
import difflib
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from llm.tokens.bpe import BpeSettings, train
from llm.tokens.hf_folder import write_folder
from llm.tokens.special_tokens import END_OF_TEXT

SIZE = 1024


@cache
def library_texts() -> tuple[str, ...]:
    modules = (argparse, ast, calendar, difflib, textwrap)
    return tuple(Path(module.__file__).read_text(encoding="utf-8") for module in modules)


@cache
def small_tokenizer() -> Tokenizer:
    return train(library_texts(), BpeSettings(SIZE, 2, 16, "single"))


def of_pieces(names: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """One of SentencePiece's kind: spaces as underscores, bytes for characters it has not."""
    vocabulary = {name: at for at, name in enumerate(names)}
    found = Tokenizer(
        models.BPE(vocabulary, list(merges), unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    found.normalizer = normalizers.Replace(" ", "\u2581")
    found.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    found.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False)])
    return found


def small_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_folder(small_tokenizer(), folder, END_OF_TEXT)
    return folder
