"""The sites of `fetch`: crawled side by side, before they are listed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from llm.corpus.fetch.places.open import gather_site
from tasks.engine.errors import CancelledError
from tasks.engine.identity.canonical import sha256_json
from tasks.engine.stage.out import Out
from tasks.stages.fetch_config import FetchConfig
from tasks.stages.fetch_places import SiteSpec

_LOOK_SECONDS = 0.2


def crawl_sites(config: FetchConfig, out: Out) -> Mapping[str, Path]:
    """Crawl every site that was not, or with a forced attempt every one; where what came lies.

    Whoever runs the stage is told, and asked whether to stop, from the thread that calls: Prefect
    knows no other.

    Raises:
        CancelledError: the stage is to stop; what came is kept.
        SiteBusyError, SiteGoneError
    """
    if not config.http:
        return {}
    ended, pages, shown = Event(), dict.fromkeys((site.name for site in config.http), 0), -1
    folders = {
        site.name: out.lasting_folder(f"sites/{site.name}-{sha256_json(site.lists())[:12]}")
        for site in config.http
    }

    def crawl(site: SiteSpec) -> tuple[Path, Mapping[str, int]] | None:
        def told(count: int) -> None:
            pages[site.name] = count

        rules, folder = site.rules(), folders[site.name]
        return gather_site(rules, config.manners, folder, out.forced, ended.is_set, told)

    with ThreadPoolExecutor(len(config.http)) as pool:
        try:
            crawls = {site.name: pool.submit(crawl, site) for site in config.http}
            left = set(crawls.values())
            while left and not out.cancelled():
                done, left = wait(left, _LOOK_SECONDS)
                for crawled in done:
                    crawled.result()  # the first that fails ends the others
                if (count := sum(pages.values())) != shown:
                    shown = count
                    out.progress(count, sum(site.max_pages for site in config.http), "page")
        finally:
            ended.set()  # no thread outlives what waits for it
    found: dict[str, Path] = {}
    for name, crawled in crawls.items():
        came = crawled.result()
        if came is None:
            raise CancelledError(f"fetch: the crawl of {name} was stopped; it goes on from here")
        found[name] = came[0]
        for fact, number in came[1].items():
            out.fact(f"{fact}:{name}", number)
    return found
