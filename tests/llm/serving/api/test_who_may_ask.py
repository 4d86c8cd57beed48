"""Tokens, names of hosts, and what a server tells of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from llm.process.safe_path import CHECKOUT
from llm.serving.api.guard import is_loopback
from tests.llm.serving.api.serving_process import Serving, serving

PAGE = CHECKOUT / "llm" / "serving" / "page"
TOKEN = "a-long-sécret"


@pytest.fixture(scope="module")
def closed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server for others, with a token from the environment."""
    work = tmp_path_factory.mktemp("closed")
    options = ["--model", f"tiny={tiny}", "--host", "0.0.0.0"]
    with serving(work, *options, environment={"INGOT_SERVE_TOKEN": TOKEN}) as running:
        yield running


def test_without_the_token_nothing_is_told(closed: Serving) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}".encode()},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x".encode()},
    ):
        for path in ("/v1/models", "/v1/chat/completions", "/v1/nothing", "/metrics"):
            response = httpx.get(closed.address + path, headers=headers)
            assert response.status_code == 401, (path, headers)
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(f"{closed.address}/health").json()["status"] == "ok"
    assert httpx.head(f"{closed.address}/health").status_code == 200
    assert TOKEN not in closed.log.read_text()


def test_the_token_is_the_api_key(closed: Serving) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}".encode()}
    assert httpx.get(f"{closed.address}/v1/models", headers=headers).status_code == 200
    # By whatever name it is reached.
    named = {**headers, "Host": b"models.example"}
    assert httpx.get(f"{closed.address}/v1/models", headers=named).status_code == 200
    with (
        openai.OpenAI(base_url=f"{closed.address}/v1", api_key="wrong") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_a_page_of_another_name_is_refused_where_no_token_is_asked_for(server: Serving) -> None:
    for host, status in (
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:9", 200),
        ("[::1]:9", 200),
    ):
        response = httpx.get(f"{server.address}/v1/models", headers={"Host": host})
        assert response.status_code == status, host


def test_every_file_of_the_page_is_served(closed: Serving) -> None:
    """Without the token, which the page asks for; as the browser takes them."""
    files = sorted(PAGE.iterdir())
    assert len(files) > 3
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for file in files:
        path = "/" if file.name == "index.html" else f"/page/{file.name}"
        response = httpx.get(closed.address + path)
        assert response.content == file.read_bytes()
        assert response.headers["content-type"].startswith(kinds.get(file.suffix, "text/html"))
        assert response.headers["x-frame-options"] == "DENY"
    assert httpx.get(f"{closed.address}/page/..%2fapp.py").status_code == 404
    assert httpx.get(f"{closed.address}/page/nothing.js").status_code == 404


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_is_this_machine_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_counters(client: openai.OpenAI, server: Serving) -> None:
    names = ("ingot_prompt_tokens_total", "ingot_completion_tokens_total")
    before = [server.metric(name, model="tiny") for name in names]
    firsts = server.metric("ingot_time_to_first_token_seconds_count", model="tiny")
    answer = client.completions.create(model="tiny", prompt=["a", "b"], max_tokens=9, temperature=0)
    assert answer.usage is not None
    after = [server.metric(name, model="tiny") for name in names]
    counted = [new - old for old, new in zip(before, after, strict=True)]
    assert counted == [answer.usage.prompt_tokens, answer.usage.completion_tokens]
    assert server.metric("ingot_time_to_first_token_seconds_count", model="tiny") == firsts + 2
    assert server.metric("ingot_requests_running", model="tiny") == 0
    for made_up in ("/v1/a", "/v1/b"):
        httpx.get(server.address + made_up)
    text = httpx.get(f"{server.address}/metrics").text
    assert 'route="other",status="404"' in text
    assert "/v1/a" not in text
    assert text.endswith("\n")
