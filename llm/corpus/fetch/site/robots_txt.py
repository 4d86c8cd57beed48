"""What a robots.txt allows (RFC 9309), which delay it asks for, and which sitemaps it names."""

from __future__ import annotations

import time
from collections.abc import Sequence

from protego import Protego

from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.web.client import Web, limited

_MOST_BYTES = 500 * 1024  # RFC 9309, 2.5: more need not be read
_NOBODY, _EVERYBODY = "User-agent: *\nDisallow: /\n", ""


class RobotsTxt:
    """The rules of one host for one crawler.

    Args:
        text: of the file, or what stands for one that is not there.
        user_agent: the whole of what the crawler is called; its first word is what rules are for.
    """

    def __init__(self, text: str, user_agent: str) -> None:
        self._rules = Protego.parse(text)
        self._token = (user_agent.split("/")[0].split() or ["*"])[0]

    def allows(self, url: str) -> bool:
        """Whether a URL may be asked for."""
        return bool(self._rules.can_fetch(url, self._token))

    @property
    def delay_seconds(self) -> float:
        """Between two requests, by Crawl-delay and Request-rate; 0 where neither is said."""
        delay = float(self._rules.crawl_delay(self._token) or 0.0)
        rate = self._rules.request_rate(self._token)
        return max(delay, rate.seconds / rate.requests if rate and rate.requests else 0.0)

    @property
    def sitemaps(self) -> Sequence[str]:
        """URLs, as they are written."""
        return list(self._rules.sitemaps)


def fetch_robots(web: Web, origin: str) -> tuple[int, str]:
    """Status and text of a host's robots.txt.

    A file that is not there (4xx) allows everything; where the host fails (5xx, no answer), nothing
    is allowed: RFC 9309, 2.3.1. Then the status is 0.
    """
    try:
        with web.ask(f"{origin}/robots.txt", {"Accept-Encoding": "identity"}) as answer:
            if 400 <= answer.status < 500:
                return answer.status, _EVERYBODY
            if answer.status != 200:
                return 0, _NOBODY
            data = bytearray()
            seconds = 10 * web.manners.timeout_seconds
            for chunk in limited(answer.body, 1 << 30, seconds, time.monotonic):
                data += chunk
                if len(data) > _MOST_BYTES:
                    break
            return 200, bytes(data[:_MOST_BYTES]).decode("utf-8", "replace")
    except NotFetchedError:
        return 0, _NOBODY
