"""Which reader a place is for.

A kind of place is a module here (or a folder beside this one) with two functions: one lists what
the place has, the other hands out the bytes of an entry. Which files they end up in, that they are
whole, and what is written down of them is the same for all kinds (`write.py`). What a kind needs is
imported when a place of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.corpus.fetch.entries import Entry, Place, Read
from llm.errors import ExpectedError


class UnknownPlaceError(ExpectedError, ValueError):
    """There is no reader for a kind of place."""


@dataclass(frozen=True, slots=True)
class Means:
    """How places are asked: what changes nothing of what they have.

    Attributes:
        scratch: a folder that outlives the process, for what is there of a file so far.
        manners: fields of `Manners`.
        anonymous: ask stores that speak S3 without credentials.
        servers: of kinds of places whose servers have copies: what is asked -> URL.
        folder: of a site, what its crawl wrote.
        revision: at which a place was listed; "" = none.
    """

    scratch: str
    manners: Mapping[str, Any]
    anonymous: bool
    servers: Mapping[str, str]
    folder: str
    revision: str


def gather_site(
    rules: Mapping[str, Any],
    manners: Mapping[str, Any],
    folder: Path,
    again: bool,
    stop: Callable[[], bool],
    told: Callable[[int], None],
) -> tuple[Path, Mapping[str, int]] | None:
    """Crawl a site, where it was not, or is to be again: before it can be listed.

    Args:
        rules: fields of `SiteRules`.
        folder: that outlives every run, for these rules.
        told: given the number of pages so far.

    Returns:
        `Means.folder`, and counts of what is no entry; `None` where `stop` said so.

    Raises:
        SiteBusyError, SiteGoneError
    """
    from llm.corpus.fetch.site.last_crawl import crawl_facts, crawl_site, last_crawl

    if not crawl_site(rules, manners, folder, again, stop, lambda now: told(now.pages)):
        return None
    return last_crawl(folder), crawl_facts(last_crawl(folder))


def list_place(place: Place, asks: Mapping[str, Any], means: Means | None) -> Iterator[Entry]:
    """Every entry of a place, in order.

    Args:
        asks: what is asked of it, by kind: of a folder `known`, its files; of files their `urls`.
        means: `None` for a folder.

    Raises:
        UnknownPlaceError
    """
    if place.kind == "folder":
        from llm.corpus.fetch.places.folder import Known, list_folder

        return list_folder(Known(**file) for file in asks["known"])
    if place.kind == "files" and means is not None:
        from llm.corpus.fetch.places.remote_files import RemoteFiles

        return RemoteFiles(means.manners, means.anonymous).list(asks["urls"])
    if place.kind == "hub" and means is not None:
        from llm.corpus.fetch.hub.data_set import DataSet

        data_set = DataSet(means.manners, asks["dataset"], means.servers["hub"])
        return data_set.list(asks["revision"], asks["files"], asks["max_files"], asks["seed"])
    if place.kind == "commoncrawl" and means is not None:
        from llm.corpus.fetch.commoncrawl.read import CommonCrawl

        return CommonCrawl(means.manners, means.servers).list(asks)
    if place.kind == "site" and means is not None:
        from llm.corpus.fetch.site.last_crawl import list_site

        return list_site(Path(means.folder))
    raise _unknown(place)


def reader(place: Place, asks: Mapping[str, Any], means: Means | None, path: Path) -> Read:
    """What hands out the bytes of an entry, in portions, or raises `NotFetchedError`.

    Args:
        asks: what decides how entries of it are read.
        path: of a folder, the file its entries are read from.

    Raises:
        UnknownPlaceError
    """
    if place.kind == "folder":
        from llm.corpus.fetch.places.folder import read_file

        return lambda _entry: read_file(path)
    if place.kind == "files" and means is not None:
        from llm.corpus.fetch.places.remote_files import RemoteFiles

        files, scratch = RemoteFiles(means.manners, means.anonymous), Path(means.scratch)
        return lambda entry: files.read(entry, scratch, asks["max_file_bytes"])
    if place.kind == "hub" and means is not None:
        from llm.corpus.fetch.hub.data_set import DataSet

        data_set, revision = (
            DataSet(means.manners, asks["dataset"], means.servers["hub"]),
            means.revision,
        )
        parts = Path(means.scratch)
        return lambda entry: data_set.read(entry, revision, parts)
    if place.kind == "commoncrawl" and means is not None:
        from llm.corpus.fetch.commoncrawl.read import CommonCrawl

        crawl, scratch = CommonCrawl(means.manners, means.servers), Path(means.scratch)
        return lambda entry: crawl.read(entry, scratch)
    if place.kind == "site" and means is not None:
        from llm.corpus.fetch.site.last_crawl import read_site

        folder = Path(means.folder)
        return lambda entry: read_site(folder, entry)
    raise _unknown(place)


def shape_file(
    place: Place, asks: Mapping[str, Any], entry: Entry, path: Path
) -> tuple[int, int] | None:
    """Keep some rows and columns of a file that came, where that is asked for.

    Returns:
        How many rows it had, and has; `None` where it is what it was.

    Raises:
        NotFetchedError: it has no rows, or others.
    """
    if place.kind != "hub":
        return None
    from llm.corpus.fetch.hub.rows import Shape, reshape

    shape = Shape(asks["columns"], asks["row_share"], asks["row_seed"])
    return None if shape.keeps_all else reshape(shape, entry, path)


def _unknown(place: Place) -> UnknownPlaceError:
    return UnknownPlaceError(f"{place.name}: there is no reader for places of kind {place.kind!r}")
