"""Bodies that are none: 4xx with a reason, never a fault of the server, and it goes on."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.serving.api.errors import ApiError
from llm.serving.api.reading import chat_body, completion_body, tokenize_body
from tests.llm.serving.api.serving_process import Serving

BODIES = 10_000
CHAT = "/v1/chat/completions"
VALID: dict[str, dict[str, Any]] = {
    CHAT: {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is dedent?"}]},
        ],
        "max_tokens": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["never"],
        "logit_bias": {"12": 1.5},
        "seed": 3,
        "logprobs": True,
        "top_logprobs": 2,
    },
    "/v1/completions": {
        "model": "tiny",
        "prompt": ["import", "def"],
        "max_tokens": 1,
        "n": 1,
        "stream": False,
        "logprobs": 1,
    },
    "/v1/tokenize": {"model": "tiny", "text": "import os"},
}
# Values that fit no field of any body, as JSON.
NEVER = [
    "1e999",
    "NaN",
    "-Infinity",
    "1" * 5_000,
    "-1e400",
    '{"a": {"b": [1]}}',
    "[[[[[]]]]]",
    "[" * 5_000 + "]" * 5_000,
    '"\\ud800"',
    "[null]",
    "[1.5]",
    "-1",
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something could stand in a body's place, the body itself included."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for name, inner in items:
        yield from _places(inner, (*path, name))


def _with(body: Any, path: tuple[Any, ...], text: str) -> bytes:
    """The body as JSON with other text in a place."""
    if not path:
        return text.encode()
    changed = copy.deepcopy(body)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "\ue000"
    return json.dumps(changed, ensure_ascii=False).replace('"\ue000"', text).encode()


def _replaced(draw: random.Random, body: dict[str, Any]) -> bytes:
    # -1 is a seed, and a bias; -1 and the text with a lone surrogate are no matter there.
    path = draw.choice(list(_places(body)))
    return _with(body, path, draw.choice([text for text in NEVER if text != "-1" or not path]))


def _cut(draw: random.Random, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return data[: draw.randrange(len(data))]


def _unknown(draw: random.Random, body: dict[str, Any]) -> bytes:
    name = "".join(draw.choices('abcdefghij_\u00e9\x00"\\', k=draw.randrange(1, 30)))
    return json.dumps({**body, f"x_{name}": draw.choice([None, 1, "a", [], {}])}).encode()


def _noise(draw: random.Random, body: dict[str, Any]) -> bytes:
    return bytes([draw.randrange(128, 256)]) + draw.randbytes(draw.randrange(400))


def _missing(draw: random.Random, body: dict[str, Any]) -> bytes:
    kept = {
        name: value for name, value in body.items() if name not in ("messages", "prompt", "text")
    }
    return json.dumps(kept).encode()


WAYS: list[Callable[[random.Random, dict[str, Any]], bytes]] = [
    _replaced,
    _replaced,
    _cut,
    _unknown,
    _noise,
    _missing,
]


def test_ten_thousand_bodies_that_are_none(server: Serving) -> None:
    draw = random.Random(0)
    place = urlsplit(server.address)
    connection = HTTPConnection(str(place.hostname), place.port, timeout=60)
    for number in range(BODIES):
        path = draw.choice(list(VALID))
        data = draw.choice(WAYS)(draw, VALID[path])
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        told = response.read()
        assert 400 <= response.status < 500, (number, path, data[:500], told)
        error = json.loads(told)["error"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"
    for path, body in VALID.items():  # the same unspoilt
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    connection.close()
    assert server.idle(5)
    assert "Traceback" not in server.log.read_text()


def test_bytes_of_sound_bodies_changed_at_random(server: Serving) -> None:
    """What is still sound is answered."""
    draw = random.Random(1)
    place = urlsplit(server.address)
    connection = HTTPConnection(str(place.hostname), place.port, timeout=60)
    statuses = set()
    for _ in range(2_000):
        path = draw.choice(list(VALID))
        data = bytearray(json.dumps(VALID[path]).encode())
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] = draw.choice(b'{}[],:"0123456789eE.-+ \\u/\x00\xff')
        connection.request("POST", path, bytes(data), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        statuses.add(response.status)
    assert max(statuses) < 500
    assert 200 in statuses
    assert 400 in statuses
    connection.close()


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=12)
    | st.sampled_from(["text", "user", "assistant", "tool", "auto"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "name", "0"]), inner)
    ),
    max_leaves=8,
)
_OTHERS = ("tools", "tool_choice", "response_format", "echo", "best_of", "stream_options", "user")
_FIELDS = st.sampled_from(
    sorted({field for body in VALID.values() for field in body}.union(_OTHERS))
)


@settings(max_examples=1_500)
@given(st.dictionaries(_FIELDS, _JSON, max_size=5), st.sampled_from(list(VALID)))
def test_any_record_is_a_body_or_told_why_not(fields: dict[str, Any], path: str) -> None:
    """As it comes out of JSON, without a server: any other exception would be a 500."""
    read: dict[str, Callable[[dict[str, Any]], object]] = {
        CHAT: chat_body,
        "/v1/completions": completion_body,
        "/v1/tokenize": tokenize_body,
    }
    try:
        read[path]({**VALID[path], **fields})
    except ApiError as error:
        told = error
    else:
        return
    assert told.status == 400
    json.dumps(told.body(), allow_nan=False)


@pytest.mark.parametrize("prompt", [[1, "a"], [-1], [[1], []], {"text": "a"}, 7])
def test_a_prompt_of_no_kind_is_one_fault(prompt: Any) -> None:
    with pytest.raises(ApiError, match=r"^prompt: is neither a text, nor") as told:
        completion_body({"model": "tiny", "prompt": prompt})
    assert told.value.param == "prompt"


def test_bodies_that_are_too_large_or_of_another_kind(server: Serving) -> None:

    large = json.dumps(VALID[CHAT] | {"user": "x" * 2_000_000})
    url = server.address + CHAT
    response = httpx.post(url, content=large, headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert "1,000,000 bytes" in response.json()["error"]["message"]

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    response = httpx.post(url, content=pieces(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    response = httpx.post(url, content=json.dumps(VALID[CHAT]))
    assert response.status_code == 415
    for method, path, status in (
        ("GET", CHAT, 405),
        ("DELETE", "/v1/models/tiny", 405),
        ("GET", "/v1/embeddings", 404),
        ("POST", "/v1/responses", 404),
        ("OPTIONS", CHAT, 405),
    ):
        answer = httpx.request(
            method, server.address + path, headers={"Origin": "https://a.example"}
        )
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert not [name for name in answer.headers if name.startswith("access-control")]
