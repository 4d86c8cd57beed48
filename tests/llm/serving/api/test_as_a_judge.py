"""`ingot serve` as the judge of the stage `judge`: a model of a few thousand parameters, drawn at
random, keeps the protocol and gives no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llm.evaluation.judge.asking import Limits, NonsenseJudgeError, ask
from llm.evaluation.judge.endpoint import Access, Endpoint, JudgeSettings
from llm.evaluation.judge.replies import Question, Replies
from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.serving.api.serving_process import Serving, serving


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A question of a judge is some thousand tokens of a small vocabulary."""
    work = tmp_path_factory.mktemp("judge")
    folder = model_folder(work / "tiny", tiny_model(4096), TURN_END)
    with serving(work, "--model", f"tiny={folder}", "--places", "4") as running:
        yield running


def test_calls_are_answered_and_nonsense_is_told(roomy: Serving, tmp_path: Path) -> None:
    settings = JudgeSettings("tiny", 8, 0.0)
    questions = [Question("accuracy", "Q?", (f"{n}", "b")) for n in range(20)]
    endpoint = Endpoint(Access(f"{roomy.address}/v1", "", 60.0, 1, 0.1, 1.0), settings)
    limits = Limits(concurrency=4, max_calls=0, again=False)
    with pytest.raises(NonsenseJudgeError, match="holds a verdict"):
        ask(questions, settings, endpoint, Replies(tmp_path), limits, lambda done, total: None)
    served = httpx.get(f"{roomy.address}/metrics").text
    [line] = [
        text
        for text in served.splitlines()
        if "/v1/chat/completions" in text and 'status="200"' in text
    ]
    assert float(line.split()[-1]) >= 16
