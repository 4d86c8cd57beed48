"""The language model the tests read: the one every checkout uses, fetched when it is not there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from llm.corpus.lid_model import LanguageModelUnavailableError, fetch


@cache
def language_model() -> Path:
    target = Path(__file__).parents[1] / ".ingot" / "models" / "lid.176.ftz"
    try:
        return fetch(target)
    except LanguageModelUnavailableError as error:
        pytest.skip(f"no language model: {error}")
