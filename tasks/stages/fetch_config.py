"""What `fetch` is told: its places, and how servers are asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from llm.corpus.fetch.allowed_hosts import AllowedHosts
from tasks.engine.config import ShardedConfig, added, execution
from tasks.stages.fetch_places import CommonCrawlSpec, FilesSpec, HubSpec, PlaceSpec, SiteSpec


class FetchConfig(ShardedConfig):
    """What to fetch."""

    places: list[PlaceSpec] = Field(
        [], description="Folders, here or mounted, each under a name of its own."
    )
    files: list[FilesSpec] = added([], "Files by URL: https:// and s3://.")
    commoncrawl: list[CommonCrawlSpec] = added([], "Captures or archives of Common Crawl.")
    hub: list[HubSpec] = added([], "Data sets of the Hugging Face Hub.")
    http: list[SiteSpec] = added([], "Web sites, crawled into WARC files.")
    private_hosts: list[str] = execution(
        [],
        "Hosts, addresses or networks (10.0.0.0/8) that are meant although they are not public; "
        "all others of that sort are refused, behind every redirect too.",
    )
    user_agent: str = execution(
        "ingot (makes text corpora; obeys robots.txt)",
        "What is said to web servers; name a way to reach you.",
        min_length=1,
        pattern=r"^[\x20-\x7e]*$",
    )
    timeout_seconds: float = execution(
        60.0, "For a connection, and for the next bytes of an answer.", gt=0, le=3600
    )
    tries: int = execution(6, "Tries of a request before an entry is rejected.", ge=1, le=100)
    unanswered_share: float = execution(
        0.5,
        "Share of a place's entries from which nothing is published if so many got no answer: a "
        "server that is down, and not one that has less. What came is kept for the next run. "
        "1 = only where all did.",
        gt=0,
        le=1,
    )
    first_wait_seconds: float = execution(
        1.0, "Wait before the second try; it doubles with each further one.", gt=0, le=3600
    )
    longest_wait_seconds: float = execution(
        120.0, "Longest wait between tries, also where a server asks for more.", gt=0, le=86400
    )

    @field_validator("private_hosts")
    @classmethod
    def _are_hosts(cls, hosts: list[str]) -> list[str]:
        AllowedHosts(hosts)
        return hosts

    @model_validator(mode="after")
    def _distinct(self) -> FetchConfig:
        counts = Counter(self.names)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"places need names of their own; given twice: {', '.join(twice)}")
        return self

    @property
    def remote(self) -> list[FilesSpec | CommonCrawlSpec | HubSpec | SiteSpec]:
        """The places that a network is asked for."""
        return [*self.files, *self.commoncrawl, *self.hub, *self.http]

    @property
    def names(self) -> list[str]:
        """Of the places, in their order."""
        return [place.name for place in (*self.places, *self.remote)]

    @property
    def manners(self) -> Mapping[str, Any]:
        """How servers are asked: fields of `Manners`."""
        return {
            "user_agent": self.user_agent,
            "private_hosts": tuple(self.private_hosts),
            "timeout_seconds": self.timeout_seconds,
            "tries": self.tries,
            "first_wait_seconds": self.first_wait_seconds,
            "longest_wait_seconds": self.longest_wait_seconds,
        }
