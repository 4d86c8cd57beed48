"""The places of `fetch`, kind by kind: what each is told, and what of it decides what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from llm.corpus.fetch.commoncrawl.captures import surt_range
from llm.corpus.fetch.entries import Place
from llm.corpus.fetch.file_urls import check_page_url, check_url
from tasks.engine.config import Part, execution


class _Named(Part):
    """What the places of all kinds have."""

    name: str = Field(
        description="Name of the place; a source names it as `fetched`.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=64,
    )


class PlaceSpec(_Named):
    """One named folder."""

    kind: Literal["folder"] = Field("folder", description="What the place is.")
    paths: list[str] = execution(
        [], "folder: files, folders and globs (`**` too), relative to the root."
    )


class FilesSpec(_Named):
    """Files by their URLs, under one name."""

    urls: list[str] = Field(
        description="https://host/path; s3://bucket/key, for which globs (`*`, `**`) and folders "
        "(a slash at the end) stand as well.",
        min_length=1,
    )
    max_file_bytes: int = Field(
        100_000_000_000, description="Largest file; a larger one is rejected.", ge=1
    )
    anonymous: bool = execution(
        False, "s3: ask without credentials, as public buckets allow; else the environment's."
    )

    @model_validator(mode="after")
    def _can_be_fetched(self) -> FilesSpec:
        # Not of the field: its errors quote what was found, and that may hold a password.
        for url in self.urls:
            check_url(url)
        return self

    @property
    def place(self) -> Place:
        """As the library knows it."""
        return Place(self.name, "files")

    def lists(self) -> Mapping[str, Any]:
        """What decides which entries there are."""
        return {"urls": self.urls}

    def reads(self) -> Mapping[str, Any]:
        """What decides how one is read."""
        return {"max_file_bytes": self.max_file_bytes}

    def told(self) -> str:
        """What will be fetched, for the plan."""
        shown = ", ".join(self.urls[:3]) + (", ..." if len(self.urls) > 3 else "")
        return f"{len(self.urls)} file(s) or pattern(s): {shown}"


class SiteSpec(_Named):
    """One web site, or several hosts that belong together, crawled politely."""

    seeds: list[str] = Field(description="URLs where the crawl begins.", min_length=1)
    hosts: list[str] = Field(
        [], description="Hosts that belong to it, such as *.example.org; empty = the seeds' own."
    )
    include: list[str] = Field(
        [], description="Globs for path and query, such as /docs/*; empty = every path."
    )
    exclude: list[str] = Field([], description="Globs for path and query that are left out.")
    media_types: list[str] = Field(
        ["text/html", "application/xhtml+xml"],
        description="Content types of pages that are kept.",
        min_length=1,
    )
    sitemaps: bool = Field(
        True, description="Also take URLs from the sitemaps that robots.txt names, or /sitemap.xml."
    )
    max_depth: int = Field(20, description="Links from a seed.", ge=0, le=1_000)
    max_pages: int = Field(10_000, description="Pages at which the crawl ends.", ge=1)
    max_bytes: int = Field(
        10_000_000_000, description="Bytes of pages, as sent, at which the crawl ends.", ge=1
    )
    max_page_bytes: int = Field(
        10_000_000, description="Largest page, as sent and decompressed; larger ones are rejected.",
        ge=1_000, le=1_000_000_000,
    )  # fmt: skip
    max_seconds: float = Field(
        86_400.0, description="Seconds of crawling, over all runs of it, at which it ends.", gt=0
    )
    delay_seconds: float = execution(
        1.0, "At least, between two requests to a host; robots.txt may ask for more.",
        ge=0, le=3_600,
    )  # fmt: skip

    @model_validator(mode="after")
    def _are_pages(self) -> SiteSpec:
        for url in self.seeds:  # not of the field, as above
            check_page_url(url)
        return self

    @property
    def place(self) -> Place:
        """As the library knows it."""
        return Place(self.name, "site")

    def lists(self) -> Mapping[str, Any]:
        """What decides which entries there are."""
        return {name: value for name, value in self.identity().items() if name != "name"}

    def reads(self) -> Mapping[str, Any]:
        """What decides how one is read."""
        return {}

    def rules(self) -> Mapping[str, Any]:
        """Fields of `SiteRules`."""
        return {**self.lists(), "delay_seconds": self.delay_seconds}

    def told(self) -> str:
        """What will be fetched, for the plan."""
        return (
            f"up to {self.max_pages:,} pages from {', '.join(self.seeds)}, "
            f"{self.delay_seconds:g} s or more between two requests to a host"
        )


class CommonCrawlSpec(_Named):
    """Captures out of one crawl of Common Crawl, or some of its archives as a whole."""

    snapshot: str = Field(
        description="The crawl, such as CC-MAIN-2026-40.", pattern=r"^CC-MAIN-[0-9]{4}-[0-9-]+$"
    )
    urls: list[str] = Field(
        [],
        description="Captures of these: example.org/docs/* (what begins so), *.example.org (a "
        "domain and all below it), example.org/page.html.",
    )
    languages: list[str] = Field(
        [], description="ISO 639-3 (eng, deu); the first that was found in a page counts. Empty = "
        "any."
    )  # fmt: skip
    media_types: list[str] = Field(
        ["text/html", "application/xhtml+xml"], description="As detected; empty = any."
    )
    index: Literal["cdx", "columnar"] = Field(
        "cdx",
        description="Where captures are looked up: cdx asks the index server, columnar reads the "
        "Parquet index by ranges, also without URLs.",
    )
    max_records: int = Field(
        10_000,
        description="Captures; where there are more, the seed chooses.",
        ge=1,
        le=100_000_000,
    )
    archives: Literal["", "warc", "wet"] = Field(
        "", description="Whole archives of this kind instead of captures."
    )
    count: int = Field(1, description="Archives, chosen by the seed.", ge=1, le=1_000_000)
    seed: int = Field(0, description="Of the choice of captures or archives.", ge=0)
    index_url: str = execution("https://index.commoncrawl.org", "Server of the CDX index.")
    data_url: str = execution("https://data.commoncrawl.org", "Server of archives and lists.")

    @field_validator("urls")
    @classmethod
    def _are_patterns(cls, urls: list[str]) -> list[str]:
        for pattern in urls:
            surt_range(pattern)
        return urls

    @model_validator(mode="after")
    def _one_way(self) -> CommonCrawlSpec:
        for url in self.servers.values():
            check_page_url(url)
        if self.archives and self.urls:
            raise ValueError(f"{self.name}: whole `archives` are not chosen by `urls`; drop one")
        if not self.archives and not self.urls and self.index == "cdx":
            raise ValueError(
                f"{self.name}: without `urls` set `index: columnar`, or take whole `archives`"
            )
        return self

    @property
    def place(self) -> Place:
        """As the library knows it."""
        return Place(self.name, "commoncrawl")

    @property
    def servers(self) -> Mapping[str, str]:
        """Where it is asked."""
        return {"index": self.index_url, "data": self.data_url}

    def lists(self) -> Mapping[str, Any]:
        """What decides which entries there are."""
        return {name: value for name, value in self.identity().items() if name != "name"}

    def reads(self) -> Mapping[str, Any]:
        """What decides how one is read."""
        return {}

    def told(self) -> str:
        """What will be fetched, for the plan."""
        if self.archives:
            return f"{self.count} whole {self.archives.upper()} file(s) of {self.snapshot}"
        which = ", ".join(self.urls) or "any URL"
        return f"up to {self.max_records:,} captures of {which} in {self.snapshot} ({self.index})"


class HubSpec(_Named):
    """Parquet or JSONL files of a data set of the Hugging Face Hub."""

    dataset: str = Field(
        description="Its name, owner/name.", pattern=r"^[\w.-]+(/[\w.-]+)?$", max_length=200
    )
    revision: str = Field(
        "main",
        description="Branch, tag or commit; it is resolved to a commit when files are listed.",
        min_length=1,
    )
    files: list[str] = Field(
        ["*.parquet"],
        description="Globs for files to take, such as sample/10BT/*.parquet; `*` stands for "
        "folders too.",
        min_length=1,
    )
    max_files: int = Field(0, description="Files, chosen by the seed; 0 = all.", ge=0)
    row_share: float = Field(
        1.0, description="Share of the rows that is kept of every file, by the seed.", gt=0, le=1
    )
    columns: list[str] = Field(
        [],
        description="Columns that are kept: name, or new=old to rename; empty = all. Each: of the "
        "form text or text=content.",
    )
    seed: int = Field(0, description="Of the choice of files and rows.", ge=0)
    endpoint: str = execution(
        "", "Server that is asked; empty = HF_ENDPOINT of the environment, else huggingface.co."
    )

    @model_validator(mode="after")
    def _is_a_server(self) -> HubSpec:
        if self.endpoint:
            check_page_url(self.endpoint)
        return self

    @field_validator("columns")
    @classmethod
    def _names_each_once(cls, columns: list[str]) -> list[str]:
        new = [column.partition("=")[0] for column in columns]
        if "" in new or any(column.endswith("=") for column in columns):
            raise ValueError("each is a column's name, or new=old")
        if len(set(new)) < len(new):
            raise ValueError("two columns get one name")
        return columns

    @property
    def place(self) -> Place:
        """As the library knows it."""
        return Place(self.name, "hub")

    @property
    def servers(self) -> Mapping[str, str]:
        """Where it is asked."""
        return {"hub": self.endpoint}

    def lists(self) -> Mapping[str, Any]:
        """What decides which entries there are."""
        chosen = {"max_files": self.max_files, "seed": self.seed if self.max_files else 0}
        what = {"dataset": self.dataset, "revision": self.revision, "files": self.files}
        return {**what, **chosen}

    def reads(self) -> Mapping[str, Any]:
        """What decides how one is read."""
        pairs = [column.partition("=") for column in self.columns]
        return {
            "dataset": self.dataset,
            "columns": {new: old or new for new, _, old in pairs},
            "row_share": self.row_share,
            "row_seed": self.seed if self.row_share < 1 else 0,
        }

    def told(self) -> str:
        """What will be fetched, for the plan."""
        most = f"up to {self.max_files} of " if self.max_files else ""
        share = f", {self.row_share:.3g} of their rows" if self.row_share < 1 else ""
        return f"{most}{', '.join(self.files)} of {self.dataset}@{self.revision}{share}"
