"""The recipes that ask a network, asked of servers on this machine instead."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from llm.corpus.fetch.site.warc_records import exchange
from llm.hub_access import KEPT_OFF
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.registry import STAGES
from tests.web_server import Reply, WebServer

STAGE_NAMES = ("fetch", "source", "clean")
PROSE = " ".join(f"Sentence number {n} of a page that has enough of them." for n in range(12))


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer().running() as running:
        yield running


def built(home: Path, recipe: str, changes: list[str]) -> dict[str, BuildResult]:
    local = [
        "fetch.private_hosts=[127.0.0.1]", "fetch.workers=1", "source.workers=1", "clean.workers=1",
        "fetch.tries=2", "fetch.first_wait_seconds=0.01",
    ]  # fmt: skip
    found = load(recipe, [*changes, *local])
    wired = chain(STAGES, found.configs)
    selection = Selection(only=STAGE_NAMES)
    return build(Planner(wired, found.configs, found.name, Store(str(home)), selection))


def texts(done: dict[str, BuildResult]) -> list[str]:
    found: list[str] = done["clean"].artifact.data("documents").table(["text"])["text"].to_pylist()
    return found


def page(number: int, *links: str) -> bytes:
    anchors = "".join(f'<a href="{link}">more</a>' for link in links)
    body = f"<h1>Page {number}</h1><p>{PROSE} It is page {number}.</p>"
    return f"<html><body><main>{body}{anchors}</main></body></html>".encode()


def test_site(tmp_path: Path, server: WebServer) -> None:
    headers = {"Content-Type": "text/html"}
    for number in range(3):
        links = [f"/3/{number + 1}", "/3/_sources/x", "/2/other"]
        server.serve(f"/3/{number or ''}", Reply(page(number, *links), headers=headers))
    done = built(
        tmp_path,
        "site",
        [f"fetch.http.0.seeds=['{server.url}/3/']", "fetch.http.0.delay_seconds=0"],
    )
    found = texts(done)
    assert len(found) == 3
    assert all(PROSE[:60] in text for text in found)
    assert not {"/3/_sources/x", "/2/other"} & set(server.paths())


def test_common_crawl(tmp_path: Path, server: WebServer) -> None:
    snapshot = load("common_crawl").configs["fetch"].commoncrawl[0].snapshot  # type: ignore[attr-defined]
    name, rows, archive = f"crawl-data/{snapshot}/a.warc.gz", [], b""
    moment = datetime(2025, 1, 20, tzinfo=UTC)
    for number in range(3):
        url, body = f"https://en.wikivoyage.org/wiki/{number}", page(number)
        both = exchange(url, [], "200 OK", [("Content-Type", "text/html")], body, moment)
        response = both[: both.index(b"\x1f\x8b\x08", 1)]
        digest = base64.b32encode(hashlib.sha1(body).digest()).decode()
        row: dict[str, Any] = {"urlkey": f"org,wikivoyage,en)/wiki/{number}", "url": url}
        row |= {"timestamp": "20250120000000", "mime-detected": "text/html", "status": "200"}
        row |= {"digest": digest, "filename": name, "offset": str(len(archive))}
        rows.append({**row, "length": str(len(response)), "languages": "eng"})
        archive += both
    server.serve(f"/{name}", archive)

    def index(path: str) -> Reply:
        if "wikibooks" in path:
            return Reply(b'{"message": "No Captures found"}', status=404)
        if "showNumPages" in path:
            return Reply(b'{"pages": 1, "pageSize": 5, "blocks": 1}')
        return Reply("\n".join(map(json.dumps, rows)).encode())

    server.answers[f"/{snapshot}-index"] = index
    done = built(
        tmp_path,
        "common_crawl",
        [f"fetch.commoncrawl.0.{name}={server.url}" for name in ("index_url", "data_url")],
    )
    assert len(texts(done)) == 3


def test_fineweb(tmp_path: Path, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv(KEPT_OFF, "1")  # as every command of Ingot is
    rows = [{"text": f"{PROSE} Row {n}.", "id": f"<{n}>", "url": f"https://x.org/{n}",
             "date": "2024-01-01T00:00:00Z", "dump": "d"} for n in range(400)]  # fmt: skip
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    data, sha, name = stream.getvalue(), "a" * 40, "sample/10BT/000_00000.parquet"
    lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 1}
    info = {"id": "HuggingFaceFW/fineweb", "sha": sha, "tags": [], "siblings": [
        {"rfilename": name, "size": len(data), "blobId": "b", "lfs": lfs},
    ]}  # fmt: skip
    as_json = {"Content-Type": "application/json"}
    path = "HuggingFaceFW/fineweb"
    server.serve(
        f"/api/datasets/{path}/revision/main", Reply(json.dumps(info).encode(), headers=as_json)
    )
    server.serve(f"/datasets/{path}/resolve/{sha}/{name}", data)
    done = built(tmp_path, "fineweb", [f"fetch.hub.0.endpoint={server.url}"])
    assert 1 <= len(texts(done)) <= 25, "some two in a hundred of 400"
    pages = done["source"].artifact.data("pages").table(["url", "fetched_at"]).to_pylist()
    assert all(row["url"].startswith("https://x.org/") for row in pages)
    assert all(row["fetched_at"].year == 2024 for row in pages)
