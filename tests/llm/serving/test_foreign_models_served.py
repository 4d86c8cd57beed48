"""Models that transformers computes, answering where ours do."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.foreign.bring import bring
from llm.foreign.model import open_model
from llm.model.generation import generate
from llm.model.sampling import GREEDY
from llm.serving.chat import Conversation
from llm.serving.served_model import ForeignPrecisionError, load_inference
from llm.tokens.chat import ChatEncoder
from tests.llm.foreign_models import foreign_folder


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    bring(foreign_folder("qwen2", root / "theirs"), root / "brought", None)
    return root / "brought"


def test_a_conversation_says_what_is_generated(qwen: Path) -> None:
    talk, chat = Conversation(qwen, GREEDY, 6), ChatEncoder(qwen)
    first = talk.say("What is a tree?")
    prompt = chat.prompt([{"role": "user", "content": "What is a tree?"}])
    (expected,) = generate(open_model(qwen), [prompt], 6, chat.stops)
    assert first == chat.decode(expected).strip()
    assert isinstance(talk.say("And a shrub?"), str)
    assert len(talk.turns) == 4


def test_its_weights_are_as_they_are(qwen: Path) -> None:
    with pytest.raises(ForeignPrecisionError, match="Qwen2ForCausalLM is computed by transformers"):
        load_inference(qwen, 1, "int8")
