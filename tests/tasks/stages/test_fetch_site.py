"""A site is crawled politely, in a fixed order, within bounds, and into WARC files."""

from __future__ import annotations

import gzip
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.fetch.site.last_crawl import SiteGoneError
from llm.corpus.source.archives import read_archive
from llm.corpus.source.records import Page
from tasks.engine.errors import CancelledError
from tasks.engine.progress import NullListener
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.registry import STAGES
from tasks.stages.fetch import STAGE, NothingFetchedError, externals
from tasks.stages.fetch_config import FetchConfig
from tests.web_server import Reply, WebServer

LOCAL = {
    "tries": 2, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.05, "workers": 1,
    "private_hosts": ["127.0.0.1"],
}  # fmt: skip


def html(*links: str, text: str = "text", head: str = "") -> Reply:
    anchors = "".join(f'<a href="{link}">to</a>' for link in links)
    body = f"<html><head>{head}</head><body><p>{text}</p>{anchors}</body></html>"
    return Reply(body.encode(), headers={"Content-Type": "text/html; charset=utf-8"})


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer().running() as running:
        yield running


def site(server: WebServer, **fields: Any) -> dict[str, Any]:
    return {"name": "site", "seeds": [f"{server.url}/"], "delay_seconds": 0, **fields}


def crawl(home: Path, *sites: dict[str, Any], force: bool = False, **fields: Any) -> Artifact:
    config = FetchConfig.model_validate({**LOCAL, "http": list(sites), **fields})
    request = BuildRequest(STAGE, config, {}, externals(config))
    return execute(request, Store(str(home)), force=force).artifact


def recipe(*sites: dict[str, Any]) -> dict[str, Any]:
    source = {"workers": 1, "sources": [{"name": "own", "kind": "auto", "fetched": "site"}]}
    return {"fetch": {**LOCAL, "http": list(sites)}, "source": source}


def built(
    home: Path, sections: dict[str, Any], force: tuple[str, ...] = ()
) -> dict[str, BuildResult]:
    configs = {name: STAGES[name].config.model_validate(it) for name, it in sections.items()}
    chained = chain(STAGES, configs)
    return build(Planner(chained, configs, "mine", Store(str(home)), Selection(force=force)))


def paths(artifact: Artifact) -> list[str]:
    """Of the pages, in the order of the files."""
    folder = artifact.data("files").folder() / "site"
    found = []
    for file in sorted(folder.iterdir()):
        records = list(read_archive(file, file.name, 1_000_000))
        found += [r.url.split("/", 3)[3] for r in records if isinstance(r, Page)]
    return [f"/{path}" for path in found]


def reasons(artifact: Artifact) -> dict[str, str]:
    rows = artifact.data("rejected").table().to_pylist()
    return {"/" + row["detail"].split("/", 3)[3].split(": ")[0]: row["reason"] for row in rows}


def test_pages_come_by_depth_in_the_order_of_the_links(tmp_path: Path, server: WebServer) -> None:
    server.serve("/", html("b", "/a#part", f"HTTP://127.0.0.1:{server.port}/b/../c", "mailto:x@y"))
    server.serve("/b", html("/d", "/a", "//elsewhere.example/x"))
    server.serve("/a", html("/e?q=1"))
    server.serve("/c", html("/"))
    server.serve("/d", html())
    server.serve("/e?q=1", html())
    artifact = crawl(tmp_path, site(server))
    assert paths(artifact) == ["/", "/b", "/a", "/c", "/d", "/e?q=1"]
    assert reasons(artifact) == {}
    assert server.paths() == ["/robots.txt", "/sitemap.xml", "/", "/b", "/a", "/c", "/d", "/e?q=1"]
    totals = artifact.manifest.totals
    assert (totals.rows_in, totals.kept) == (6, 6)
    shallow = crawl(tmp_path, site(server, max_depth=1))
    assert paths(shallow) == ["/", "/b", "/a", "/c"]


def test_the_archive_is_one_that_source_reads(tmp_path: Path, server: WebServer) -> None:
    body = "<p>Grüße</p>".encode() * 50
    packed = Reply(
        gzip.compress(body, mtime=0),
        headers={"Content-Type": "text/html; charset=utf-8", "Content-Encoding": "gzip"},
    )
    server.serve("/", html("/packed"))
    server.serve("/packed", packed)
    done = built(tmp_path, recipe(site(server)))
    pages = {row["url"]: row for row in done["source"].artifact.data("pages").table().to_pylist()}
    assert set(pages) == {f"{server.url}/", f"{server.url}/packed"}
    page = pages[f"{server.url}/packed"]
    assert page["html"] == body
    assert page["content_type"].startswith("text/html")
    assert page["fetched_at"] is not None
    removed = done["source"].artifact.manifest.totals.removed
    assert removed == {"request": 2}, "each with the request that was sent"
    (file,) = (done["fetch"].artifact.data("files").folder() / "site").iterdir()
    with file.open("rb") as stream:
        checked = []
        for record in ArchiveIterator(stream, check_digests=True):
            record.content_stream().read()
            checked.append((record.rec_type, record.digest_checker.passed))
    assert checked == [("response", True), ("request", True)] * 2


def test_robots_txt_is_obeyed(tmp_path: Path, server: WebServer) -> None:
    server.serve(
        "/robots.txt",
        "User-agent: ingot\nDisallow: /private\nDisallow: /*.print$\nAllow: /private/open\n"
        "Crawl-delay: 0.1\n\nUser-agent: *\nDisallow: /\n",
    )
    server.serve("/", html("/private/x", "/private/open", "/a.print", "/a.printed"))
    for path in ("/private/x", "/private/open", "/a.print", "/a.printed"):
        server.serve(path, html())
    artifact = crawl(tmp_path, site(server, sitemaps=False))
    assert paths(artifact) == ["/", "/private/open", "/a.printed"]
    assert reasons(artifact) == {"/private/x": "robots", "/a.print": "robots"}
    moments = [asked.moment for asked in server.asked[1:]]
    assert all(later - earlier >= 0.09 for earlier, later in itertools.pairwise(moments))


@pytest.mark.parametrize(
    ("reply", "allowed"), [(Reply(status=404), True), (Reply(status=500), False)]
)
def test_without_a_robots_txt_all_is_allowed_and_where_the_host_fails_nothing(
    tmp_path: Path, server: WebServer, reply: Reply, allowed: bool
) -> None:
    server.serve("/robots.txt", reply)
    server.serve("/", html())
    if allowed:
        assert paths(crawl(tmp_path, site(server))) == ["/"]
        return
    with pytest.raises(NothingFetchedError, match="1 robots_unavailable such as"):
        crawl(tmp_path, site(server))
    assert set(server.paths()) == {"/robots.txt"}


def test_sitemaps_are_read_with_their_indices_and_gzipped(
    tmp_path: Path, server: WebServer
) -> None:
    def listed(kind: str, *urls: str) -> bytes:
        inner = "".join(f"<{kind}><loc> {url} </loc></{kind}>" for url in urls)
        space = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        return f'<?xml version="1.0"?><{kind}set {space}>{inner}</{kind}set>'.encode()

    index = listed("sitemap", f"{server.url}/one.xml.gz", f"{server.url}/two.txt", "/broken.xml")
    server.serve("/robots.txt", f"Sitemap: {server.url}/index.xml\n")
    server.serve("/index.xml", index)
    server.serve(
        "/one.xml.gz", gzip.compress(listed("url", f"{server.url}/p1", "http://x.example/"))
    )
    server.serve("/two.txt", f"{server.url}/p2\n{server.url}/private\n")
    server.serve("/broken.xml", listed("url", f"{server.url}/p3", f"{server.url}/p4")[:-60])
    server.serve("/", html("/linked"))
    for path in ("/p1", "/p2", "/p3", "/linked", "/private"):
        server.serve(path, html())
    artifact = crawl(tmp_path, site(server, exclude=["/priv*"]))
    assert paths(artifact) == ["/", "/p1", "/p2", "/p3", "/linked"]


def test_what_fails_on_purpose_is_rejected_with_the_reason(
    tmp_path: Path, server: WebServer
) -> None:
    page = {"Content-Type": "text/html"}
    bad = {
        "/gone": Reply(status=404), "/busy": Reply(status=503),
        "/image": Reply(b"x", headers={"Content-Type": "image/png"}),
        "/large": Reply(b"x" * 3_000, headers=page),
        "/endless": Reply(b"x" * 999, headers=page, endless=True),
        "/cut": Reply(b"x" * 900, headers=page, cut=10),
        "/bomb": Reply(gzip.compress(b"x" * 100_000), headers={**page, "Content-Encoding": "gzip"}),
        "/inward": Reply(status=302, headers={"Location": "http://169.254.169.254/"}),
        "/inner": Reply(status=302, headers={"Location": f"http://localhost:{server.port}/secret"}),
    }  # fmt: skip
    server.serve("/", html(*bad, "/moved", "/once"))
    once = html()
    server.serve("/once", replace(once, cut=5), once)
    server.serve("/moved", Reply(status=301, headers={"Location": "/there"}))
    server.serve("/there", html())
    for path, reply in bad.items():
        server.serve(path, reply)
    rules = {"max_page_bytes": 2_000, "hosts": ["127.0.0.1", "localhost"]}
    artifact = crawl(tmp_path, site(server, **rules))
    assert paths(artifact) == ["/", "/once", "/there"]
    assert reasons(artifact) == {
        "/gone": "missing", "/busy": "busy", "/image": "content_type", "/large": "too_large",
        "/endless": "too_large", "/cut": "cut_off", "/bomb": "too_large",
        "/inward": "out_of_scope", "/secret": "robots_unavailable",
    }  # fmt: skip
    assert "/secret" not in server.paths(), "localhost lies at a private address"


def test_it_ends_at_its_limits(tmp_path: Path, server: WebServer) -> None:
    for number in range(30):
        server.serve(f"/{number or ''}", html(f"/{number + 1}", text="x" * 500))
    few = crawl(tmp_path, site(server, max_pages=5))
    assert paths(few) == ["/", "/1", "/2", "/3", "/4"]
    assert few.facts["left:site"] == 1
    small = crawl(tmp_path, site(server, max_bytes=2_000))
    assert len(paths(small)) == 4
    short = crawl(tmp_path, site(server, max_seconds=0.3, delay_seconds=0.1))
    assert 1 <= len(paths(short)) < 6
    for number in range(8):  # a link that leads ever deeper into itself
        server.serve("/" + "trap/" * number, html("trap/"))
    trap = crawl(tmp_path, site(server, max_pages=99))
    assert paths(trap)[-1] == "/trap/trap/trap/"


def test_nofollow_is_obeyed_and_base_counts(tmp_path: Path, server: WebServer) -> None:
    server.serve("/", html("one", head='<base href="/deep/er/">'))
    server.serve(
        "/deep/er/one", html("/two", head='<meta name="Robots" content="noindex, nofollow">')
    )
    server.serve("/two", html())
    assert paths(crawl(tmp_path, site(server))) == ["/", "/deep/er/one"]


def test_an_unchanged_site_gives_the_bytes_it_gave(tmp_path: Path, server: WebServer) -> None:
    server.serve("/", html("/a", "/b", "/c"))
    server.serve("/a", html("/d"))
    server.serve("/b", Reply(b"<p>no version</p>", headers={"Content-Type": "text/html"}, etag=""))
    dated = {"Content-Type": "text/html", "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    server.serve("/c", Reply(b"<p>dated</p>", headers=dated, etag=""))
    server.serve("/d", html())
    sections = recipe(site(server))
    first = built(tmp_path, sections)
    server.asked.clear()
    time.sleep(1.1)  # dates of records are in seconds: they must not be new ones
    same = built(tmp_path, sections, force=("fetch",))
    assert not same["fetch"].cached
    assert same["source"].cached, "nothing changed, so nothing behind it runs"
    assert (
        same["fetch"].artifact.data("files").data_id
        == first["fetch"].artifact.data("files").data_id
    )
    headers = {asked.path: asked.headers for asked in server.asked}
    assert "if-none-match" in headers["/a"]
    assert headers["/c"]["if-modified-since"] == dated["Last-Modified"]
    server.serve("/a", html("/d", "/new"))
    server.serve("/new", html())
    after = built(tmp_path, sections, force=("fetch",))
    assert paths(after["fetch"].artifact) == ["/", "/a", "/b", "/c", "/d", "/new"]
    assert after["source"].artifact.data("pages").rows == 6


def test_a_site_that_is_gone_leaves_what_there_was(tmp_path: Path, server: WebServer) -> None:
    server.serve("/", html())
    sections = recipe(site(server))
    built(tmp_path, sections)
    server.serve("/", Reply(status=503))
    with pytest.raises(SiteGoneError, match=r"no page came \(1 busy\).* stays in force"):
        built(tmp_path, sections, force=("fetch",))
    assert built(tmp_path, sections)["fetch"].cached
    server.serve("/", html())
    assert built(tmp_path, sections, force=("fetch",))["source"].cached


def test_several_sites_are_crawled_side_by_side(tmp_path: Path, server: WebServer) -> None:
    with WebServer().running() as other:
        server.serve("/", html())
        other.serve("/", html("/x"))
        other.serve("/x", html())
        artifact = crawl(tmp_path, site(server), {**site(other), "name": "two"})
    facts = artifact.facts
    assert (facts["fetched:site"], facts["fetched:two"]) == (1, 2)


@pytest.mark.long
def test_after_kill_9_the_crawl_goes_on(tmp_path: Path, server: WebServer) -> None:
    count = 60
    for number in range(count):
        server.serve(
            f"/{number or ''}",
            html(f"/{number + 1}" if number + 1 < count else "/", text=str(number)),
        )
    sections = recipe(site(server, delay_seconds=0.03, max_depth=100))
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
    while len(server.asked) < 20 and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(server.asked)
    assert 20 <= before < count
    done = built(tmp_path / "home", sections)
    assert paths(done["fetch"].artifact) == ["/", *(f"/{number}" for number in range(1, count))]
    asked = server.paths()
    assert asked.count("/robots.txt") == 1
    assert len(asked) <= count + 3, "at most the page it was at is asked for twice"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": ["ftp://x.org/"]}, "is not of the form https://host/path"),
        ({"seeds": ["https://me:word@x.org/"]}, "token or signature; leave it out"),
        ({"seeds": ["https://x.org/?Access_Token=k3y"]}, "token or signature; leave it out"),
        ({"seeds": []}, "at least 1 item"),
        ({"seeds": ["https://[x"]}, "is no URL"),
    ],
)
def test_seeds_that_are_none_are_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FetchConfig.model_validate({"http": [{"name": "s", **fields}]})


def test_a_crawl_that_is_stopped_goes_on(tmp_path: Path, server: WebServer) -> None:
    for number in range(9):
        server.serve(f"/{number or ''}", html(f"/{number + 1}"))

    class Stopping(NullListener):
        def cancelled(self) -> bool:
            return len(server.asked) >= 6

    config = FetchConfig.model_validate({**LOCAL, "http": [site(server, delay_seconds=0.1)]})
    request, store = BuildRequest(STAGE, config, {}, externals(config)), Store(str(tmp_path))
    with pytest.raises(CancelledError):
        execute(request, store, Stopping())
    before = len(server.asked)
    assert 6 <= before < 11
    assert len(paths(execute(request, store).artifact)) == 9
    assert len(server.asked) <= 13, "nine pages, one that is none, robots.txt and sitemap"
