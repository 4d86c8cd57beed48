"""`/v1/attribution`: what is asked of it, what is told, what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from llm.corpus.attribution.sources import Attribution, Source, SourcedSpan
from llm.serving.api.app import make_app
from llm.serving.api.attribution import Attributor
from llm.serving.api.limits import Limits

LIMITS = Limits(body_bytes=200_000, tokens=10, choices=1, stops=1)
ADDRESS = "http://127.0.0.1"


def attribute(text: str) -> Attribution:
    source = Source("trained", {"doc_id": "d1", "url": "u"}, "a ", text, " z", 1)
    span = SourcedSpan(0, len(text), text, 3, 1, 100, [source])
    return Attribution([span], [], 1.0, [], {"trained": 100})


def passport(doc_id: str) -> list[dict[str, object]]:
    row = {"stage": "filter", "output": "documents", "row": {"doc_id": doc_id}}
    return [row] if doc_id == "d1" else []


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = make_app({}, LIMITS, None, Attributor(attribute, passport))
    with TestClient(app, base_url=ADDRESS) as made:
        yield made


def test_a_text_is_attributed(client: TestClient) -> None:
    assert client.get("/v1/attribution").json()["object"] == "attribution"
    told = client.post("/v1/attribution", json={"text": "one two"}).json()
    [span] = told["spans"]
    assert (span["start"], span["end"], span["text"]) == (0, 7, "one two")
    assert span["sources"][0]["row"]["url"] == "u"
    assert (told["covered"], told["searched"]) == (1.0, {"trained": 100})


def test_a_document_has_a_passport(client: TestClient) -> None:
    [row] = client.get("/v1/attribution/documents/d1").json()["data"]
    assert (row["stage"], row["row"]) == ("filter", {"doc_id": "d1"})
    missing = client.get("/v1/attribution/documents/d2")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "document_not_found")


def test_what_is_no_text_is_refused_by_field(client: TestClient) -> None:
    for body, field in (({"text": 3}, "text"), ({}, "text"), ({"text": "a", "top": 1}, "top")):
        refused = client.post("/v1/attribution", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
    long = client.post("/v1/attribution", json={"text": "a" * 100_001})
    assert (long.status_code, long.json()["error"]["param"]) == (400, "text")


def test_without_an_index_there_is_no_such_route() -> None:
    with TestClient(make_app({}, LIMITS, None, None), base_url=ADDRESS) as client:
        assert client.get("/v1/attribution").status_code == 404
        assert client.post("/v1/attribution", json={"text": "a"}).status_code == 404


def test_a_token_is_asked_for_here_too() -> None:
    app = make_app({}, LIMITS, "secret", Attributor(attribute, passport))
    with TestClient(app, base_url=ADDRESS) as client:
        assert client.post("/v1/attribution", json={"text": "a"}).status_code == 401
        assert client.get("/v1/attribution/documents/d1").status_code == 401
        headers = {"Authorization": "Bearer secret"}
        told = client.post("/v1/attribution", json={"text": "a"}, headers=headers)
        assert told.status_code == 200
