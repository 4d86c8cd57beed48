"""One server for the tests of this folder that do not spoil it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.serving.api.serving_process import Serving, serving

CONTEXT = 256


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few thousand parameters, as they were drawn."""
    return model_folder(tmp_path_factory.mktemp("model") / "tiny", tiny_model(CONTEXT), TURN_END)


@pytest.fixture(scope="session")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    work = tmp_path_factory.mktemp("serving")
    with serving(work, "--model", f"tiny={tiny}", "--places", "8") as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Serving) -> Iterator[openai.OpenAI]:
    """OpenAI's own, which tries nothing twice."""
    with openai.OpenAI(
        base_url=f"{server.address}/v1", api_key="none", max_retries=0, timeout=60
    ) as made:
        yield made
