"""Crawling a site: one request after the other, no faster than it bears, into WARC files.

Every URL that came is in the frontier with what became of it, and every page in a file, before the
next is asked for; so a crawl that was killed goes on where it was. A page that an earlier crawl has
is asked for on condition that it changed; one that did not is taken over byte for byte, and so a
site that did not change gives the files it gave.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.site.frontier import Frontier, Kept, Waiting
from llm.corpus.fetch.site.page_links import MARKUP, decoded, page_links
from llm.corpus.fetch.site.robots_txt import RobotsTxt, fetch_robots
from llm.corpus.fetch.site.rules import Scope, SiteRules, crawl_url, origin
from llm.corpus.fetch.site.sitemaps import MOST_BYTES, read_sitemap
from llm.corpus.fetch.site.warc_records import exchange
from llm.corpus.fetch.web.client import (
    PASSING,
    Answer,
    Web,
    limited,
    redirect_of,
    refused,
)
from llm.corpus.fetch.web.urls import shown

FRONTIER = "frontier.sqlite"
_PAGES_PER_FILE, _BYTES_PER_FILE = 2_000, 256 << 20
_MOST_SITEMAPS = 500
_LOOK_SECONDS = 0.2
_DEEPEST_SITEMAP = 3  # an index of indices


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a crawl is."""

    pages: int
    bytes: int
    seconds: float


class Crawl:
    """One crawl of one site, in a folder of its own.

    Args:
        folder: of this crawl; what is in it is gone on with.
        earlier: the folder of the last complete crawl of the site, if there is one.
    """

    def __init__(self, rules: SiteRules, web: Web, folder: Path, earlier: Path | None) -> None:
        self._rules, self._web, self._folder = rules, web, folder
        self._scope = Scope(rules)
        folder.mkdir(parents=True, exist_ok=True)
        self._frontier = Frontier(folder / FRONTIER)
        self._earlier_folder = earlier
        self._earlier = None if earlier is None else Frontier(earlier / FRONTIER)
        self._robots: dict[str, tuple[int, RobotsTxt]] = {}
        self._next_request: dict[str, float] = {}
        self._mark = time.monotonic()
        # Name, bytes and pages of the file that is written; asking the frontier takes ever longer.
        self._file = self._frontier.last_file()
        self._cut_back()

    def run(self, stop: Callable[[], bool], told: Callable[[Progress], None]) -> bool:
        """Crawl to the end, or up to a limit.

        Args:
            stop: asked before every request; what is there stays.

        Returns:
            Whether it came to its end.
        """
        if self._frontier.counted("ended"):
            return True
        self._frontier.add(
            [url for url in (crawl_url(seed, seed) for seed in self._rules.seeds) if url], "page", 0
        )
        while not stop():
            waiting = self._frontier.next()
            if waiting is None or self._full():
                self._frontier.end()
                return True
            if self._may_ask(origin(waiting.url), stop):
                self._one(waiting)
                told(self._progress())
        return False

    def close(self) -> None:
        """Close what is open."""
        self._frontier.close()
        if self._earlier is not None:
            self._earlier.close()

    def _progress(self) -> Progress:
        counted = self._frontier.counted
        return Progress(int(counted("pages")), int(counted("bytes")), counted("seconds"))

    def _full(self) -> bool:
        now, rules = self._progress(), self._rules
        return (
            now.pages >= rules.max_pages
            or now.bytes >= rules.max_bytes
            or now.seconds >= rules.max_seconds
        )

    def _cut_back(self) -> None:
        """Take away what was written of a page that the frontier knows nothing of."""
        name, end, _ = self._file
        for path in self._folder.glob("*.warc.gz"):
            if path.name == name:
                os.truncate(path, end)
            elif path.name > name:
                path.unlink()

    def _one(self, waiting: Waiting) -> None:
        url = waiting.url
        try:
            status, robots = self._robots_of(origin(url))
            if status == 0:
                raise NotFetchedError(
                    "robots_unavailable", "the host does not say in a robots.txt what is allowed"
                )
            if not robots.allows(url):
                raise NotFetchedError("robots", "robots.txt does not allow it")
            delay = max(self._rules.delay_seconds, robots.delay_seconds)
            self._next_request[origin(url)] = time.monotonic() + delay
            if waiting.kind == "sitemap":
                self._sitemap(waiting)
            else:
                self._page(waiting)
        except NotFetchedError as error:
            state = "refused" if waiting.kind == "page" else "passed"
            self._frontier.leave(url, state, error.reason, error.detail, self._seconds())

    def _seconds(self) -> float:
        """Since they were last counted."""
        before, self._mark = self._mark, time.monotonic()
        return self._mark - before

    def _may_ask(self, host: str, stop: Callable[[], bool]) -> bool:
        """Wait until a host may be asked again; `False` where there is something else to do first:
        its sitemaps, once it was asked for its rules, or to stop."""
        if self._frontier.robots(host) is None:
            self._robots_of(host)
            return False
        while (left := self._next_request.get(host, 0.0) - time.monotonic()) > 0:
            if stop():
                return False
            time.sleep(min(left, _LOOK_SECONDS))
        return True

    def _robots_of(self, host: str) -> tuple[int, RobotsTxt]:
        """Status and rules of a host's robots.txt, asked for once; its sitemaps are put before its
        pages."""
        if host not in self._robots:
            known = self._frontier.robots(host)
            if known is None:
                known = fetch_robots(self._web, host)
                self._frontier.add_robots(host, *known)
                rules = RobotsTxt(known[1], self._web.manners.user_agent)
                if self._rules.sitemaps and known[0] != 0:
                    named = [crawl_url(link, host) for link in rules.sitemaps]
                    urls = [u for u in named if u] or [f"{host}/sitemap.xml"]
                    self._frontier.add(urls[:_MOST_SITEMAPS], "sitemap", -_DEEPEST_SITEMAP)
            rules = RobotsTxt(known[1], self._web.manners.user_agent)
            self._robots[host] = known[0], rules
        return self._robots[host]

    def _sitemap(self, waiting: Waiting) -> None:
        seconds = 10 * self._web.manners.timeout_seconds
        with self._web.ask(waiting.url, {"Accept-Encoding": "identity"}) as answer:
            if answer.status != 200:
                raise refused(answer)
            data = b"".join(limited(answer.body, MOST_BYTES, seconds, time.monotonic))
        listed = read_sitemap(data)
        below = waiting.depth + 1
        if below <= 0:
            inner = [crawl_url(link, waiting.url) for link in listed.sitemaps]
            self._frontier.add([u for u in inner if u][:_MOST_SITEMAPS], "sitemap", below)
        pages = [crawl_url(link, waiting.url) for link in listed.pages]
        found = [url for url in pages if url and self._scope.holds(url)]
        detail = f"{len(found)} of {len(listed.pages)} URLs belong to the crawl"
        self._frontier.leave(
            waiting.url, "passed", "sitemap", detail, self._seconds(), found, depth=1
        )

    def _page(self, waiting: Waiting) -> None:
        url, headers = waiting.url, {"Accept-Encoding": "gzip, deflate"}
        before = None if self._earlier is None else self._earlier.find(url)
        if before is not None and before.etag:
            headers["If-None-Match"] = before.etag
        elif before is not None and before.modified:
            headers["If-Modified-Since"] = before.modified
        tries = 0
        while True:
            tries += 1
            with self._web.ask(url, headers, follow=False) as answer:
                if before is not None and answer.status == 304:
                    self._take_over(before, waiting)
                    return
                target = redirect_of(answer)
                if target is not None:
                    self._redirected(waiting, target)
                    return
                try:
                    self._came(answer, waiting, before, headers)
                    return
                except NotFetchedError as error:  # within the body: before it, `ask` tries again
                    if error.reason not in PASSING or tries >= self._web.manners.tries:
                        raise
            time.sleep(self._web.wait(tries, None))

    def _redirected(self, waiting: Waiting, target: str) -> None:
        """The target is a page like any other: it must belong to the crawl, and be allowed."""
        found = crawl_url(target, waiting.url)
        if found is None or not self._scope.holds(found):
            raise NotFetchedError(
                "out_of_scope", f"redirected to {shown(target)}, which is not of the crawl"
            )
        self._frontier.leave(
            waiting.url, "passed", "redirect", found, self._seconds(), [found], depth=waiting.depth
        )

    def _came(
        self, answer: Answer, waiting: Waiting, before: Kept | None, headers: Mapping[str, str]
    ) -> None:
        if answer.status != 200:
            raise refused(answer)
        media, _, parameters = (answer.header("content-type") or "").partition(";")
        media = media.strip().lower()
        if media not in self._rules.media_types:
            raise NotFetchedError("content_type", media or "none is said")
        if answer.length is not None and answer.length > self._rules.max_page_bytes:
            raise NotFetchedError("too_large", f"{answer.length:,} bytes")
        seconds = 10 * self._web.manners.timeout_seconds
        body = b"".join(limited(answer.body, self._rules.max_page_bytes, seconds, time.monotonic))
        payload = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if before is not None and before.payload == payload:
            self._take_over(before, waiting)
            return
        plain = decoded(body, answer.header("content-encoding"), self._rules.max_page_bytes)
        links: tuple[str, ...] = ()
        if media in MARKUP:
            links = page_links(plain, _charset(parameters), waiting.url)
        sent = [("Host", waiting.url.split("/")[2]), ("User-Agent", self._web.manners.user_agent)]
        records = exchange(
            waiting.url,
            [*sent, *headers.items()],
            f"{answer.status} {answer.reason}".strip(),
            answer.headers,
            body,
            datetime.now(UTC),
        )
        page = Kept(
            waiting.url, "", 0, 0, "", payload, answer.header("etag"),
            answer.header("last-modified"), len(body), links,
        )  # fmt: skip
        self._keep(page, records, waiting.depth)

    def _take_over(self, before: Kept, waiting: Waiting) -> None:
        """The page is what it was."""
        assert self._earlier_folder is not None
        with (self._earlier_folder / before.file).open("rb") as stream:
            stream.seek(before.start)
            records = stream.read(before.size)
        self._keep(before, records, waiting.depth)

    def _keep(self, page: Kept, records: bytes, depth: int) -> None:
        """Write a page's records, then that they are there."""
        name, end, pages = self._file
        if not name or pages >= _PAGES_PER_FILE or end >= _BYTES_PER_FILE:
            number = int(name.partition("-")[2].partition(".")[0]) + 1 if name else 0
            name, end, pages = f"pages-{number:05}.warc.gz", 0, 0
        with (self._folder / name).open("ab") as stream:
            stream.write(records)
            stream.flush()
            os.fsync(stream.fileno())
        digest = f"sha256:{hashlib.sha256(records).hexdigest()}"
        kept = replace(page, file=name, start=end, size=len(records), digest=digest)
        found = [link for link in kept.links if self._scope.holds(link)]
        self._frontier.keep(
            kept, found if depth < self._rules.max_depth else (), depth + 1, self._seconds()
        )
        self._file = name, end + len(records), pages + 1


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'") or None
    return None
