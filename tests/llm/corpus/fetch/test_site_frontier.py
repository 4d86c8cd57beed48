"""A crawl's frontier: all of a page is there, or nothing; bytes without a page are cut back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm.corpus.fetch.site.crawl import FRONTIER, Crawl
from llm.corpus.fetch.site.frontier import Frontier, Kept, Waiting
from llm.corpus.fetch.site.page_links import decoded, page_links
from llm.corpus.fetch.site.robots_txt import RobotsTxt
from llm.corpus.fetch.site.rules import Scope, SiteRules, crawl_url
from llm.corpus.fetch.site.sitemaps import read_sitemap
from llm.corpus.fetch.web.client import Manners, Web

RULES = SiteRules(
    ("http://x.org/",), (), (), (), ("text/html",), 9, 9, 10**9, 1e9, 10**6, 0.0, False
)


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[Frontier]:
    made = Frontier(tmp_path / FRONTIER)
    yield made
    made.close()


def kept(url: str, start: int = 0, file: str = "pages-00000.warc.gz") -> Kept:
    return Kept(url, file, start, 10, "sha256:d", "sha256:p", '"e"', None, 5, ("http://x.org/l",))


def test_urls_come_by_depth_then_in_the_order_they_were_found(frontier: Frontier) -> None:
    frontier.add(["http://x.org/b", "http://x.org/a"], "page", 1)
    frontier.add(["http://x.org/", "http://x.org/a"], "page", 0)
    frontier.add(["http://x.org/map"], "sitemap", -3)
    order = []
    while (waiting := frontier.next()) is not None:
        order.append(waiting)
        frontier.leave(waiting.url, "passed", "", "", 0.5)
    assert order == [
        Waiting("http://x.org/map", "sitemap", -3), Waiting("http://x.org/", "page", 0),
        Waiting("http://x.org/b", "page", 1), Waiting("http://x.org/a", "page", 1),
    ]  # fmt: skip
    assert frontier.counted("seconds") == 2.0


def test_what_is_kept_survives_with_its_links(tmp_path: Path, frontier: Frontier) -> None:
    frontier.add(["http://x.org/"], "page", 0)
    frontier.keep(kept("http://x.org/"), ["http://x.org/l"], 1, 1.0)
    frontier.close()
    again = Frontier(tmp_path / FRONTIER)
    assert again.find("http://x.org/") == kept("http://x.org/")
    assert again.next() == Waiting("http://x.org/l", "page", 1)
    assert (again.counted("pages"), again.counted("bytes")) == (1, 5)
    assert again.last_file() == ("pages-00000.warc.gz", 10, 1)
    again.end()
    assert again.counted("left") == 1
    again.close()


def test_bytes_of_a_page_the_frontier_does_not_know_are_cut_back(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / FRONTIER)
    frontier.add(["http://x.org/"], "page", 0)
    frontier.keep(kept("http://x.org/"), [], 1, 0.0)
    frontier.close()
    (tmp_path / "pages-00000.warc.gz").write_bytes(b"0123456789half")
    (tmp_path / "pages-00001.warc.gz").write_bytes(b"half")
    web = Web(Manners("t", (), 1.0, 1, 0.1, 0.1))
    crawl = Crawl(RULES, web, tmp_path, None)
    crawl.close()
    web.close()
    assert (tmp_path / "pages-00000.warc.gz").read_bytes() == b"0123456789"
    assert not (tmp_path / "pages-00001.warc.gz").exists()


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("a/../b", "http://x.org/d/b"),
        ("HTTPS://X.org:443/A?b=c#d", "https://x.org/A?b=c"),
        ("http://x.org:8080/./a/", "http://x.org:8080/a/"),
        ("//y.org", "http://y.org/"),
        ("?q=ü", "http://x.org/d/p?q=%C3%BC"),
        ("mailto:a@b", None),
        ("javascript:void(0)", None),
        ("http://me:word@x.org/", None),
        ("/a/a/a/a/", None),
        ("/" + "x" * 3_000, None),
        ("http://[bad/", None),
    ],
)
def test_urls_have_one_form(link: str, url: str | None) -> None:
    assert crawl_url(link, "http://x.org/d/p") == url


def test_links_are_those_a_reader_could_follow() -> None:
    markup = """<a href="/1">one</a><a>none</a><A HREF='2'>two</A>
    <a rel="nofollow" href="/no">no</a><area href="/3"><iframe src="/4"></iframe>
    <a href="/1#again">one</a>
    <a href="">self</a>"""
    assert page_links(markup.encode(), None, "http://x.org/d/") == tuple(
        f"http://x.org/{path}" for path in ("1", "d/2", "3", "4")
    )
    assert page_links("<a href='/ü'>".encode("latin-1"), "no-such-charset", "http://x.org/")
    assert page_links(b"", None, "http://x.org/") == ()
    assert decoded(b"plain", None, 9) == b"plain"


def test_scope_goes_by_host_and_path() -> None:
    assert Scope(RULES).holds("http://x.org/any?q=1")
    assert not Scope(RULES).holds("http://y.org/")


def test_robots_txt_by_product_and_rate() -> None:
    text = "User-agent: ingot\nRequest-rate: 1/4\nDisallow: /a*b$\n\nUser-agent: *\nDisallow: /\n"
    ours, other = RobotsTxt(text, "ingot/2 (me)"), RobotsTxt(text, "other")
    assert (ours.allows("http://x.org/axb"), ours.allows("http://x.org/axbc")) == (False, True)
    assert ours.delay_seconds == 4.0
    assert not other.allows("http://x.org/")
    assert RobotsTxt("\0<html>no robots", "ingot").allows("http://x.org/")


def test_a_sitemap_loads_nothing_and_survives_anything() -> None:
    evil = b"""<!DOCTYPE urlset [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "yyyy">]>
    <urlset><url><loc>http://x.org/&x;</loc></url><url><loc>http://x.org/2</loc></url></urlset>"""
    assert read_sitemap(evil).pages[-1] == "http://x.org/2"
    assert not any("root" in url for url in read_sitemap(evil).pages)
    for junk in (b"", b"<", b"\x1f\x8b\x08junk", b"<html><body>no</body></html>", b"\xff\xfe\0"):
        assert read_sitemap(junk).sitemaps == []


def test_many_links_take_no_more_than_their_number() -> None:
    seconds = []
    for count in (500, 5_000):
        markup = b"".join(b"<a href=/%d>x</a>" % number for number in range(count))
        begin = time.thread_time()
        assert len(page_links(markup, None, "http://x.org/")) == count
        seconds.append(time.thread_time() - begin)
    assert seconds[1] < 40 * seconds[0], "ten times as many, not a hundred times as long"
