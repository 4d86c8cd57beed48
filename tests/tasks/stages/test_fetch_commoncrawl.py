"""Captures and archives of Common Crawl: a small crawl with the same layout, on this machine."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from llm.corpus.fetch.commoncrawl.captures import Capture, Wanted, choose, surt_range, within
from llm.corpus.fetch.site.warc_records import exchange
from llm.corpus.source.archives import read_archive
from llm.corpus.source.records import Page
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.stages.fetch import STAGE, NothingFetchedError, PlaceNotListedError, externals
from tasks.stages.fetch_config import FetchConfig
from tests.web_server import Reply, WebServer

SNAPSHOT = "CC-MAIN-2026-40"
LOCAL = {
    "tries": 3, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.05, "workers": 1,
    "private_hosts": ["127.0.0.1"],
}  # fmt: skip
MOMENT = datetime(2026, 10, 1, 12, 0, 0, tzinfo=UTC)
PAGES = [  # host and path, language, media type, status
    ("a.example.org/", "eng", "text/html", 200),
    ("a.example.org/docs/one", "eng,deu", "text/html", 200),
    ("a.example.org/docs/two", "deu", "text/html", 200),
    ("a.example.org/image", "", "image/png", 200),
    ("a.example.org/gone", "eng", "text/html", 404),
    ("example.org/", "eng", "text/html", 200),
    ("example.organic/", "eng", "text/html", 200),
    ("other.net/x", "fra", "text/html", 200),
]


@dataclass
class SmallCrawl:
    """The crawl as a server has it, two records of each page in two archives."""

    server: WebServer
    rows: list[dict[str, Any]]
    archives: dict[str, bytes]


def surt(url: str) -> str:
    parts = urlsplit(f"//{url}")
    return f"{','.join(reversed((parts.hostname or '').split('.')))}){parts.path}"


@pytest.fixture
def crawl() -> Iterator[SmallCrawl]:
    archives: dict[str, bytes] = {}
    rows: list[dict[str, Any]] = []
    for number, (url, languages, media, status) in enumerate(PAGES):
        name = f"crawl-data/{SNAPSHOT}/segments/1/warc/part-{number % 2}.warc.gz"
        body = f"<p>{url}</p>".encode()
        both = exchange(
            f"https://{url}", [], f"{status} OK", [("Content-Type", media)], body, MOMENT
        )
        first = both[: both.index(b"\x1f\x8b\x08", 1)]  # the response, a member of its own
        before = archives.get(name, b"")
        archives[name] = before + both
        rows.append(
            {
                "urlkey": surt(url), "timestamp": "20261001120000", "url": f"https://{url}",
                "mime": media, "mime-detected": media, "status": str(status),
                "digest": base64.b32encode(hashlib.sha1(body).digest()).decode(),
                "length": str(len(first)), "offset": str(len(before)), "filename": name,
                "languages": languages,
            }
        )  # fmt: skip
    rows.sort(key=lambda row: row["urlkey"])
    with WebServer().running() as server:
        for name, data in archives.items():
            server.serve(f"/{name}", data)
        paths = gzip.compress("\n".join(archives).encode())
        server.serve(f"/crawl-data/{SNAPSHOT}/warc.paths.gz", paths)
        _serve_columnar(server, rows)
        yield SmallCrawl(server, rows, archives)


def _serve_columnar(server: WebServer, rows: list[dict[str, Any]]) -> None:
    table = pa.table(
        {
            "url_surtkey": [row["urlkey"] for row in rows],
            "url": [row["url"] for row in rows],
            "fetch_time": pa.array([MOMENT] * len(rows), pa.timestamp("ms", "UTC")),
            "fetch_status": pa.array([int(row["status"]) for row in rows], pa.int16()),
            "content_digest": [row["digest"] for row in rows],
            "content_mime_detected": [row["mime-detected"] for row in rows],
            "content_languages": [row["languages"] or None for row in rows],
            "warc_filename": [row["filename"] for row in rows],
            "warc_record_offset": pa.array([int(row["offset"]) for row in rows], pa.int32()),
            "warc_record_length": pa.array([int(row["length"]) for row in rows], pa.int32()),
        }
    )
    names = []
    for number, part in enumerate((table.slice(0, 4), table.slice(4))):
        stream = io.BytesIO()
        pq.write_table(part, stream, row_group_size=2)
        names.append(f"cc-index/table/cc-main/warc/crawl={SNAPSHOT}/subset=warc/{number}.parquet")
        server.serve(f"/{names[-1]}", stream.getvalue())
    names.append(f"cc-index/table/cc-main/warc/crawl={SNAPSHOT}/subset=crawldiagnostics/0.parquet")
    listed = gzip.compress("\n".join(names).encode())
    server.serve(f"/crawl-data/{SNAPSHOT}/cc-index-table.paths.gz", listed)


class Index:
    """Answers of a CDX server, made of the rows by what is asked."""

    def __init__(self, crawl: SmallCrawl, per_page: int = 2) -> None:
        self._rows, self._per_page = crawl.rows, per_page
        crawl.server.answers[f"/{SNAPSHOT}-index"] = self.answer

    def answer(self, path: str) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        span = surt_range(asked["url"])
        found = [r for r in self._rows if within(r["urlkey"], *span) and r["status"] == "200"]
        pages = -(-len(found) // self._per_page)
        if "showNumPages" in asked:
            return Reply(json.dumps({"pages": pages, "pageSize": 5, "blocks": 1}).encode())
        begin = int(asked["page"]) * self._per_page
        lines = [json.dumps(row) for row in found[begin : begin + self._per_page]]
        return Reply(("\n".join(lines) + "\n").encode())


def fetch(home: Path, crawl: SmallCrawl, force: bool = False, **fields: Any) -> Artifact:
    spec = {
        "name": "cc", "snapshot": SNAPSHOT, "index_url": crawl.server.url,
        "data_url": crawl.server.url, **fields,
    }  # fmt: skip
    config = FetchConfig.model_validate({**LOCAL, "commoncrawl": [spec]})
    request = BuildRequest(STAGE, config, {}, externals(config))
    return execute(request, Store(str(home)), force=force).artifact


def urls(artifact: Artifact) -> list[str]:
    found = []
    for file in sorted((artifact.data("files").folder() / "cc").iterdir()):
        records = list(read_archive(file, file.name, 1_000_000))
        assert all(isinstance(record, Page) for record in records)
        found += [r.url.removeprefix("https://") for r in records if isinstance(r, Page)]
    return found


@pytest.mark.parametrize("index", ["cdx", "columnar"])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            {"urls": ["*.example.org"]},
            ["example.org/", "a.example.org/", "a.example.org/docs/one", "a.example.org/docs/two"],
        ),
        ({"urls": ["a.example.org/docs/*"]}, ["a.example.org/docs/one", "a.example.org/docs/two"]),
        ({"urls": ["https://a.example.org/docs/two"]}, ["a.example.org/docs/two"]),
        (
            {"urls": ["*.example.org", "other.net/*"], "languages": ["deu", "fra"]},
            ["other.net/x", "a.example.org/docs/two"],
        ),
        ({"urls": ["a.example.org/*"], "media_types": ["image/png"]}, []),
    ],
)  # fmt: skip
def test_captures_are_found_by_url_language_and_type(
    tmp_path: Path, crawl: SmallCrawl, index: str, asked: dict[str, Any], expected: list[str]
) -> None:
    Index(crawl)
    artifact = fetch(tmp_path, crawl, index=index, **asked)
    if expected:
        assert urls(artifact) == expected
    else:
        (row,) = artifact.data("listed").table().to_pylist()
        assert row["offset"] is not None
    totals = artifact.manifest.totals
    assert (totals.kept, totals.rejected) == (max(1, len(expected)), {})


def test_the_columnar_index_needs_no_url_and_reads_no_more_than_it_must(
    tmp_path: Path, crawl: SmallCrawl
) -> None:
    found = fetch(tmp_path / "all", crawl, index="columnar", languages=["fra"])
    assert urls(found) == ["other.net/x"]
    crawl.server.asked.clear()
    few = fetch(tmp_path / "few", crawl, index="columnar", max_records=2)
    assert len(urls(few)) == 2
    parts = {path for path in crawl.server.paths() if path.endswith(".parquet")}
    assert len(parts) == 1, "one file has as many"
    assert not any("crawldiagnostics" in path for path in crawl.server.paths())


def test_the_seed_chooses_among_many_and_fewer_are_among_more(
    tmp_path: Path, crawl: SmallCrawl
) -> None:
    Index(crawl)
    asked: dict[str, Any] = {"urls": ["*.example.org"]}
    two = urls(fetch(tmp_path / "1", crawl, max_records=2, seed=7, **asked))
    three = urls(fetch(tmp_path / "2", crawl, max_records=3, seed=7, **asked))
    assert len(two) == 2
    assert set(two) < set(three)
    captures = [Capture(str(n), "", str(n), "", "", n, 1) for n in range(50)]
    wanted = Wanted(SNAPSHOT, (), (), (), 5, 0)
    chosen = {tuple(choose(captures, replace(wanted, seed=seed))) for seed in range(8)}
    assert len(chosen) == 8
    assert choose(captures[::-1], wanted) == choose(captures, wanted)


def test_whole_archives_by_a_seeded_choice(tmp_path: Path, crawl: SmallCrawl) -> None:
    one = fetch(tmp_path, crawl, archives="warc", count=1, seed=1)
    (file,) = (one.data("files").folder() / "cc").iterdir()
    (whole,) = [d for name, d in crawl.archives.items() if name.endswith(file.name)]
    assert file.read_bytes() == whole
    both = fetch(tmp_path, crawl, archives="warc", count=2, seed=1)
    assert both.manifest.timings.shards_adopted == 1, "the first is the same"
    again = fetch(tmp_path, crawl, archives="warc", count=2, seed=1, force=True)
    assert again.manifest.timings.shards_adopted == 2


def test_a_server_that_fails_is_asked_again_and_other_bytes_are_refused(
    tmp_path: Path, crawl: SmallCrawl
) -> None:
    Index(crawl)
    for name, data in crawl.archives.items():
        busy = Reply(status=503, headers={"Retry-After": "0"})
        crawl.server.serve(f"/{name}", busy, Reply(data, cut=5), Reply(data))
    assert len(urls(fetch(tmp_path / "1", crawl, urls=["*.example.org"]))) == 4
    wrong = {"a.example.org/docs/one": "digest", "a.example.org/docs/two": "offset"}
    for row in crawl.rows:
        what = wrong.get(row["url"].removeprefix("https://"))
        if what == "digest":
            row["digest"] = "A" * 32
        elif what == "offset":
            row["offset"] = str(int(row["offset"]) + 1)
    artifact = fetch(tmp_path / "2", crawl, urls=["*.example.org"])
    assert urls(artifact) == ["example.org/", "a.example.org/"]
    assert artifact.manifest.totals.rejected == {"changed": 1, "bad_record": 1}
    for name, data in crawl.archives.items():
        crawl.server.serve(f"/{name}", Reply(data, ranges=False))
    with pytest.raises(NothingFetchedError, match="1 no_ranges such as cc: crawl-data/"):
        fetch(tmp_path / "3", crawl, urls=["a.example.org/docs/two"])


def test_what_is_not_there_is_told_with_the_way_out(tmp_path: Path, crawl: SmallCrawl) -> None:
    Index(crawl)
    with pytest.raises(
        PlaceNotListedError, match=r"fetch: cc: .* no capture of none\.org/\*.*widen"
    ):
        fetch(tmp_path, crawl, urls=["none.org/*"])
    with pytest.raises(
        PlaceNotListedError, match=r"wet\.paths\.gz is not there: correct `snapshot`"
    ):
        fetch(tmp_path, crawl, archives="wet")
    crawl.server.answers.clear()
    crawl.server.serve(f"/{SNAPSHOT}-index", b"<html>welcome</html>")
    with pytest.raises(PlaceNotListedError, match="does not answer as a CDX server does"):
        fetch(tmp_path, crawl, urls=["example.org/*"])
    crawl.server.serve(f"/{SNAPSHOT}-index", Reply(status=503))
    with pytest.raises(PlaceNotListedError, match="503 Service Unavailable after 3 tries"):
        fetch(tmp_path, crawl, urls=["example.org/*"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"urls": ["ex*mple.org/*"]}, "is none of: example.org/docs"),
        ({"urls": ["*.example.org/docs/*"]}, "is none of"),
        ({}, "without `urls` set `index: columnar`"),
        ({"urls": ["a.org"], "archives": "warc"}, "not chosen by `urls`"),
        ({"urls": ["a.org"], "snapshot": "2026-40"}, "pattern"),
        ({"urls": ["a.org"], "data_url": "s3://commoncrawl"}, "not of the form https"),
    ],
)
def test_wrong_fields_are_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FetchConfig.model_validate(
            {"commoncrawl": [{"name": "cc", "snapshot": SNAPSHOT, **fields}]}
        )
