"""Files by URL: ranges, tries, versions; what is there stays through a kill and a refresh."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tasks.engine.errors import RecipeError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.run.plan import Planner, Selection, Status
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.registry import STAGES
from tasks.stages.fetch import STAGE, NothingFetchedError, UnansweredError, externals
from tasks.stages.fetch_config import FetchConfig
from tests.web_server import Reply, WebServer

PATIENT = {"tries": 3, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.1, "workers": 1}
LOCAL = {**PATIENT, "private_hosts": ["127.0.0.1"]}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer().running() as running:
        yield running


def request(urls: list[str], **fields: Any) -> BuildRequest:
    places = [{"name": "web", "urls": urls, **fields}]
    config = FetchConfig.model_validate({**LOCAL, "files": places})
    return BuildRequest(STAGE, config, {}, externals(config))


def fetch(home: Path, urls: list[str], force: bool = False, **fields: Any) -> Artifact:
    return execute(request(urls, **fields), Store(str(home)), force=force).artifact


def shards(artifact: Artifact) -> tuple[int, int]:
    timings = artifact.manifest.timings
    return timings.shards_built, timings.shards_adopted


def reasons(artifact: Artifact) -> dict[str, str]:
    rows = artifact.data("rejected").table().to_pylist()
    return {row["detail"].split(": ")[1].rpartition("/")[2]: row["reason"] for row in rows}


def test_files_come_whole_however_the_server_fails(tmp_path: Path, server: WebServer) -> None:
    body = bytes(range(256)) * 400
    cut = [Reply(body, cut=size) for size in (1, 40_000, 30_000)]
    urls = [
        server.serve("/whole.txt", b"text"),
        server.serve("/busy.txt", Reply(status=503, headers={"Retry-After": "0"}), b"text 2"),
        server.serve("/cut.bin", *cut, Reply(body)),
        server.serve("/no_ranges.bin", Reply(body, cut=9, ranges=False), Reply(body, ranges=False)),
        server.serve("/moved", Reply(status=302, headers={"Location": "/dir/there.txt"})),
        server.serve("/empty.txt", b""),
        server.serve("/old.txt", Reply(b"no version", etag="")),
    ]
    server.serve("/dir/there.txt", b"there")
    artifact = fetch(tmp_path, urls)
    folder = artifact.data("files").folder() / "web" / f"127.0.0.1_{server.port}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "whole.txt": b"text", "busy.txt": b"text 2", "cut.bin": body, "no_ranges.bin": body,
        "moved": b"there", "empty.txt": b"", "old.txt": b"no version",
    }  # fmt: skip
    ranges = [
        a.headers.get("range") for a in server.asked if (a.method, a.path) == ("GET", "/cut.bin")
    ]
    assert ranges == [None, "bytes=1-", "bytes=40001-", "bytes=70001-"]
    rows = {
        row["file"].rpartition("/")[2]: row for row in artifact.data("listed").table().to_pylist()
    }
    assert rows["cut.bin"]["length"] == len(body)
    assert rows["cut.bin"]["version"] == f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    assert rows["old.txt"]["version"] is None


def test_what_cannot_be_had_is_rejected_with_the_reason(tmp_path: Path, server: WebServer) -> None:
    private = {"Location": f"http://localhost:{server.port}/sound.txt"}
    urls = [
        server.serve("/sound.txt", b"text"),
        f"{server.url}/nowhere.txt",
        server.serve("/secret.txt", Reply(status=403)),
        server.serve("/busy.txt", Reply(status=503)),
        server.serve("/inward.txt", Reply(status=307, headers=private)),
        server.serve("/endless.txt", Reply(b"x" * 1000, endless=True)),
        server.serve("/short.txt", Reply(b"x" * 10, length=20)),
        server.serve("/large.txt", Reply(b"x" * 20_001)),
    ]
    artifact = fetch(tmp_path, urls, max_file_bytes=20_000)
    assert reasons(artifact) == {
        "nowhere.txt": "missing", "secret.txt": "forbidden", "busy.txt": "busy",
        "inward.txt": "private_address", "endless.txt": "too_large", "short.txt": "wrong_length",
        "large.txt": "too_large",
    }  # fmt: skip
    totals = artifact.manifest.totals
    assert (totals.rows_in, totals.kept, sum(totals.rejected.values())) == (8, 1, 7)


def test_nothing_at_all_says_why(tmp_path: Path, server: WebServer) -> None:
    with pytest.raises(NothingFetchedError, match=r"from web .*: 1 missing such as web: http://"):
        fetch(tmp_path, [f"{server.url}/nowhere.txt"])


def test_a_place_that_lists_and_does_not_answer_publishes_nothing(
    tmp_path: Path, server: WebServer
) -> None:
    urls = [server.serve(f"/{number}.txt", f"text {number}") for number in range(4)]
    first = fetch(tmp_path, urls)
    server.serve("/0.txt", Reply(status=404))
    for number in (1, 2):
        server.serve(f"/{number}.txt", Reply(status=503))
    with pytest.raises(UnansweredError, match=r"web: 2 of 4 entries got no answer \(2 busy\)"):
        fetch(tmp_path, urls, force=True)
    served = execute(request(urls), Store(str(tmp_path)))
    assert served.cached
    assert served.artifact.folder == first.folder
    for number in (1, 2):
        server.serve(f"/{number}.txt", f"new {number}")
    again = fetch(tmp_path, urls, force=True)
    assert reasons(again) == {"0.txt": "missing"}
    assert again.manifest.totals.kept == 3


def test_a_refresh_asks_for_what_is_new_alone(tmp_path: Path, server: WebServer) -> None:
    urls = [server.serve(f"/{number}.txt", f"text {number}") for number in range(4)]
    urls.append(server.serve("/unversioned.txt", Reply(b"none", etag="")))
    first = fetch(tmp_path, urls)
    assert shards(first) == (6, 0)
    server.asked.clear()
    assert execute(request(urls), Store(str(tmp_path))).cached, "planning asks no network"
    assert server.asked == []
    same = fetch(tmp_path, urls, force=True)
    assert shards(same) == (2, 4), "the list, and the file that has no version"
    assert same.data("files").data_id == first.data("files").data_id
    assert server.paths("GET") == ["/unversioned.txt"]
    server.serve("/1.txt", "other text")
    urls.append(server.serve("/new.txt", "new"))
    after = fetch(tmp_path, urls)
    assert shards(after) == (3, 4)
    assert after.data("files").rows == 0
    names = {part.path.rpartition("/")[2] for part in after.data("files").parts}
    assert names == {"0.txt", "1.txt", "2.txt", "3.txt", "new.txt", "unversioned.txt"}


def test_a_file_that_changes_between_list_and_fetch_is_refused(
    tmp_path: Path, server: WebServer
) -> None:
    urls = [server.serve("/a.txt", b"text"), server.serve("/b.txt", Reply(b"0123456789", cut=5))]
    asked = server.asked
    # Served to the first GET, which breaks off; then there is another one in its place.
    server.replies["/b.txt"].append(Reply(b"ABCDEFGHIJ"))
    artifact = fetch(tmp_path, urls)
    assert reasons(artifact) == {"b.txt": "changed"}
    assert [a.headers.get("range") for a in asked if a.path == "/b.txt"] == [None, None, "bytes=5-"]


@pytest.mark.long
def test_after_kill_9_a_file_goes_on_from_its_bytes(tmp_path: Path, server: WebServer) -> None:
    body = b"0123456789" * 300
    slow, fast = Reply(body, drip=0.002), Reply(body)
    places = [{"name": "web", "urls": [server.serve("/a.txt", slow, fast)]}]
    source = {"workers": 1, "sources": [{"name": "own", "fetched": "web"}]}
    sections = {"fetch": {**LOCAL, "files": places}, "source": source}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "mine", **sections}))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.kill_runner",
            str(tmp_path / "home"),
            str(tmp_path / "recipe.yaml"),
        ],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    end = time.monotonic() + 60
    while (
        not (
            found := [
                p
                for p in (tmp_path / "home").glob("artifacts/fetch/*/scratch/partial/web/*")
                if not p.suffix and p.stat().st_size > 200
            ]
        )
        and time.monotonic() < end
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = found[0].stat().st_size
    assert 200 < have < len(body)
    configs = {name: STAGES[name].config.model_validate(it) for name, it in sections.items()}
    planner = Planner(
        chain(STAGES, configs), configs, "mine", Store(str(tmp_path / "home")), Selection()
    )
    done = build(planner)
    (page,) = done["source"].artifact.data("pages").table().to_pylist()
    assert page["html"] == body
    assert server.asked[-1].headers["range"] == f"bytes={have}-"
    assert not list((tmp_path / "home").glob("artifacts/fetch/*/scratch/partial/web/*"))


def test_the_plan_says_what_will_be_asked_for(tmp_path: Path, server: WebServer) -> None:
    url = server.serve("/a.txt", b"text")
    sections = {"fetch": {**LOCAL, "files": [{"name": "web", "urls": [url]}]}}
    configs = {name: STAGES[name].config.model_validate(it) for name, it in sections.items()}
    (row,) = Planner(chain(STAGES, configs), configs, "m", Store(str(tmp_path)), Selection()).plan()
    assert row.status is Status.MISSING
    assert f"asks the network for web: 1 file(s) or pattern(s): {url}" in row.reasons
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/data/file.txt", "is not of the form https://host/path or s3://bucket/key"),
        ("ftp://x.org/a", "is not of the form"),
        ("https://me:word@x.org/a.txt", "password, token or signature"),
        ("https://x.org/a.gz?v=2&Access_Token=abc", "password, token or signature"),
        ("https://b.s3.amazonaws.com/a?X-Amz-Signature=abc", "password, token or signature"),
        ("https://x.org/*.gz", "globs are for s3:// alone"),
        ("https://x.org/folder/", "names no file"),
        ("https://[x/a", "is no URL"),
    ],
)
def test_urls_that_cannot_be_fetched_are_told_when_the_recipe_is_read(
    url: str, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        FetchConfig.model_validate({"files": [{"name": "web", "urls": [url]}]})


def test_a_password_in_a_recipe_is_not_repeated(tmp_path: Path) -> None:
    places = {"files": [{"name": "web", "urls": ["https://me:topsecret@x.org/a.txt"]}]}
    sites = {"http": [{"name": "site", "seeds": ["https://me:topsecret@x.org/"]}]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "m", "fetch": {**places, **sites}}))
    with pytest.raises(RecipeError, match=r"x\.org/a\.txt: the URL holds a password") as caught:
        load(str(tmp_path / "mine.yaml"))
    assert "topsecret" not in str(caught.value)


def test_settings_of_the_network_enter_no_identity() -> None:
    one = FetchConfig.model_validate({"files": [{"name": "web", "urls": ["https://x.org/a"]}]})
    other = FetchConfig.model_validate(
        {**LOCAL, "files": [{"name": "web", "urls": ["https://x.org/a"], "anonymous": True}]}
    )
    assert one.identity() == other.identity()
    assert json.dumps(FetchConfig.model_validate({}).identity()) == '{"places": []}'
    with pytest.raises(ValidationError, match="neither a host's name"):
        FetchConfig.model_validate({"private_hosts": ["http://x"]})
