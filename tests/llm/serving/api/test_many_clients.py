"""Many clients at once, and such as leave: none is lost, none holds a place it does not use."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.serving.api.serving_process import Serving, serving

CLIENTS = 64
LONG = {"model": "tiny", "prompt": "import", "max_tokens": 4000, "temperature": 0}


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Serving]:
    """A server of one place, in front of which one may wait, with answers that take a while."""
    tiny = model_folder(tmp_path / "tiny", tiny_model(4096), TURN_END)
    with serving(tmp_path, "--model", f"tiny={tiny}", "--places", "1", "--queue", "1") as running:
        yield running


def _question(number: int) -> dict[str, Any]:
    draw = random.Random(number)
    words = " ".join(
        draw.choice(["text", "indent", "wrap", "line"]) for _ in range(number % 23 + 1)
    )
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": words}],
        "max_tokens": draw.randrange(1, 60),
        "temperature": number % 3 / 2,
        "seed": number,
    }


def _answer(client: openai.OpenAI, number: int) -> tuple[str, str | None]:
    """What is said and how it ended; of every other one streamed."""
    if number % 2:
        [choice] = client.chat.completions.create(**_question(number)).choices
        return choice.message.content or "", choice.finish_reason
    said, ended = "", None
    for chunk in client.chat.completions.create(**_question(number), stream=True):
        said += chunk.choices[0].delta.content or ""
        ended = chunk.choices[0].finish_reason or ended
    return said, ended


def test_each_of_many_gets_its_answer(client: openai.OpenAI, server: Serving) -> None:
    alone = [_answer(client, number) for number in range(CLIENTS)]
    start = threading.Barrier(CLIENTS)

    def together(number: int) -> tuple[str, str | None]:
        start.wait()
        return _answer(client, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert list(pool.map(together, range(CLIENTS))) == alone
    assert len({said for said, _ in alone}) > CLIENTS // 2
    assert server.idle(5)


def test_who_hangs_up_frees_the_place(narrow: Serving) -> None:
    url = f"{narrow.address}/v1/completions"
    before = 0.0
    for streamed in (True, False):
        # It gives up after a moment, long before the answer is there.
        body = LONG | {"stream": streamed, "n": 2}
        with httpx.Client() as leaving:
            request = leaving.build_request("POST", url, json=body)
            if streamed:
                response = leaving.send(request, stream=True)
                next(response.iter_lines())
                response.close()
            else:
                request.extensions["timeout"] = {"read": 0.05, "connect": 5, "write": 5, "pool": 5}
                with pytest.raises(httpx.ReadTimeout):
                    leaving.send(request)
        assert narrow.idle(5)
        made = narrow.metric("ingot_completion_tokens_total", model="tiny") - before
        assert made < 6000, "its answers were not made to the end"
        before += made
    assert httpx.post(url, json=LONG | {"max_tokens": 2}).status_code == 200


def test_a_full_queue_is_told_at_once(narrow: Serving) -> None:
    url = f"{narrow.address}/v1/completions"
    for _ in range(20):  # the model is fast: what holds place and line may be over
        with httpx.stream("POST", url, json=LONG | {"stream": True, "n": 2}):
            response = httpx.post(url, json=LONG | {"max_tokens": 1})
        assert narrow.idle(5)
        if response.status_code == 429:
            break
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
    assert narrow.metric("ingot_requests_total", route="/v1/completions", status="429") == 1


def test_of_a_request_that_fits_in_part_nothing_runs(narrow: Serving) -> None:
    response = httpx.post(f"{narrow.address}/v1/completions", json=LONG | {"n": 3})
    assert response.status_code == 429
    assert narrow.idle(5)
    assert narrow.metric("ingot_completion_tokens_total", model="tiny") < 250


def test_what_runs_when_the_server_is_stopped_ends_well(tiny: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--model", f"tiny={tiny}", "--places", "2") as server:
        url = f"{server.address}/v1/completions"
        with httpx.stream("POST", url, json=LONG | {"stream": True}, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            server.process.terminate()
            told = [line for line in lines if line]
        assert told[-1] == "data: [DONE]"
        assert server.process.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.address}/health")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_memory_is_flat(server: Serving) -> None:
    """2,000 requests, of which each tenth is broken off and each tenth is no request at all."""
    process = psutil.Process(server.process.pid)
    sizes = []
    with httpx.Client(base_url=server.address, timeout=60) as client:
        for number in range(2_400):
            if number % 10 == 3:
                assert client.post("/v1/completions", json={"model": number}).status_code == 400
            elif number % 10 == 7:
                with client.stream(
                    "POST", "/v1/completions", json=LONG | {"stream": True}
                ) as response:
                    next(response.iter_lines())
            else:
                body = _question(number) | {"max_tokens": 8, "logprobs": True, "top_logprobs": 5}
                assert client.post("/v1/chat/completions", json=body).status_code == 200
            if number >= 400 and number % 100 == 0:
                sizes.append(process.memory_info().rss / 1e6)
    assert server.idle(5)
    assert max(sizes[-5:]) < max(sizes[:5]) + 8, sizes


def test_what_does_not_end_in_time_is_told(tmp_path: Path) -> None:
    tiny = model_folder(tmp_path / "tiny", tiny_model(50_000), TURN_END)
    places = ("--places", "1", "--patience", "1", "--max-tokens", "50000")
    with serving(tmp_path, "--model", f"tiny={tiny}", *places) as running:
        body = LONG | {"stream": True, "max_tokens": 49_000}
        url = f"{running.address}/v1/completions"
        with httpx.stream("POST", url, json=body, timeout=30) as response:
            lines = response.iter_lines()
            next(lines)
            began = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            events = [line.removeprefix("data: ") for line in lines if line]
        assert 0.5 < time.monotonic() - began < 15
    assert len(events) > 5, "it comes as it is made, not at once"
    assert json.loads(events[-1])["error"]["code"] == "server_stopping"
    assert "error" not in json.loads(events[-2])
