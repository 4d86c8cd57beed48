"""The language model the tests read: the one `make setup` puts into the environment."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from llm.corpus.annotate.language_model import installed


@cache
def language_model() -> Path:
    return installed()
