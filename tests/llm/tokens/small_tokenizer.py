"""A tokenizer trained on text every Python has: sources of the standard library."""

from __future__ import annotations

import argparse
import ast
import calendar
import difflib
import textwrap
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

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


def small_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_folder(small_tokenizer(), folder, END_OF_TEXT)
    return folder
