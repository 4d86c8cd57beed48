"""The last complete crawl of a site, and the next that is under way beside it."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.site.crawl import FRONTIER, Crawl, Progress
from llm.corpus.fetch.site.frontier import Frontier
from llm.corpus.fetch.site.rules import SiteRules
from llm.corpus.fetch.web.client import Manners, Web
from llm.errors import ExpectedError

_REFUSED = "refused"  # the file that what could not be had would go into
_SHOWN = 3


class SiteBusyError(ExpectedError):
    """Another process crawls the same site by the same rules."""


class SiteGoneError(ExpectedError):
    """A site that gave pages gives none any more."""


def crawl_site(
    rules: Mapping[str, Any],
    manners: Mapping[str, Any],
    folder: Path,
    again: bool,
    stop: Callable[[], bool],
    told: Callable[[Progress], None],
) -> bool:
    """Crawl a site, unless it was, into `last` of its folder.

    A crawl that was stopped or killed goes on. Of one that is complete nothing is asked, but with
    `again`: then everything is, on condition that it changed.

    Args:
        rules, manners: fields of `SiteRules`, `Manners`.
        folder: of the site, for these rules.

    Returns:
        Whether it is complete; else `stop` said so.

    Raises:
        SiteBusyError, SiteGoneError
    """
    folder.mkdir(parents=True, exist_ok=True)
    now, last = folder / "now", last_crawl(folder)
    with _alone(folder / "lock"):
        if last.exists() and not now.exists() and not again:
            return True
        web = Web(Manners(**manners))
        crawl = Crawl(SiteRules(**rules), web, now, last if last.exists() else None)
        try:
            if not crawl.run(stop, told):
                return False
        finally:
            crawl.close()
            web.close()
        _replace(last, now)
    return True


def last_crawl(folder: Path) -> Path:
    """Where the last complete crawl of a site lies."""
    return folder / "last"


def _replace(last: Path, now: Path) -> None:
    """The crawl that is complete becomes the last.

    Raises:
        SiteGoneError: it has no page, and the one before has: that one stays.
    """
    if last.exists() and not (now / "pages-00000.warc.gz").exists():
        with _reading(now) as frontier:
            reasons = Counter(reason for _, reason, _ in frontier.refused())
            examples = [f"{url}: {why}" for url, _, why in frontier.refused()][:_SHOWN]
        shutil.rmtree(now)
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        raise SiteGoneError(
            f"no page came ({counts}), such as {'; '.join(examples)}; what was fetched before "
            "stays in force: run again when the site answers"
        )
    before = last.with_name("before")
    shutil.rmtree(before, ignore_errors=True)
    if last.exists():
        last.rename(before)
    now.rename(last)
    shutil.rmtree(before, ignore_errors=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process is in here; the system lets go when this one ends, however it does."""
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SiteBusyError(
                f"another run crawls this site right now ({path}); wait for its end"
            ) from None
        yield


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[Frontier]:
    frontier = Frontier(folder / FRONTIER)
    try:
        yield frontier
    finally:
        frontier.close()


def list_site(folder: Path) -> Iterator[Entry]:
    """An entry a page of a complete crawl, its request and response records; and one for each URL
    that was refused.

    Args:
        folder: `last_crawl`.
    """
    with _reading(folder) as frontier:
        for page in frontier.kept():
            yield Entry(page.file, page.url, None, page.size, page.digest, page.payload)
        for url, _, _ in frontier.refused():
            yield Entry(_REFUSED, url)


def read_site(folder: Path, entry: Entry) -> Iterator[bytes]:
    """The records of a page.

    Raises:
        NotFetchedError: it was refused, for a reason of its own; or the crawl was removed.
    """
    if not (folder / FRONTIER).exists():
        raise NotFetchedError(
            "missing", f"{folder} is gone: `ingot run --force fetch` crawls again"
        )
    with _reading(folder) as frontier:
        page = frontier.find(entry.location)
        if page is None:
            why = frontier.why_refused(entry.location)
            raise NotFetchedError(*(why or ("missing", "the crawl has it no more")))
    with (folder / page.file).open("rb") as stream:
        stream.seek(page.start)
        yield stream.read(page.size)


def crawl_facts(folder: Path) -> Mapping[str, int]:
    """How many URLs led elsewhere or were no page, and how many were left at a limit."""
    with _reading(folder) as frontier:
        return {name: int(frontier.counted(name)) for name in ("passed", "left")}
