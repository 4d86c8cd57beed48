"""Which URLs of a crawl are known, and what became of each: on disk, so that a crawl that was
killed goes on with the next.

SQLite is what keeps it: either all that is known of a page is there, with the links it had, or
nothing. The order of URLs is that in which they were found, by depth.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls (
  number INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, depth INTEGER NOT NULL,
  state TEXT NOT NULL, reason TEXT, detail TEXT, file TEXT, start INTEGER, size INTEGER,
  digest TEXT, payload TEXT, etag TEXT, modified TEXT, body_bytes INTEGER, links TEXT);
CREATE INDEX IF NOT EXISTS waiting ON urls (depth, number) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS kept ON urls (file) WHERE state = 'kept';
CREATE TABLE IF NOT EXISTS robots (origin TEXT PRIMARY KEY, status INTEGER NOT NULL, body TEXT);
CREATE TABLE IF NOT EXISTS crawl (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A URL that is next.

    Attributes:
        kind: "page" or "sitemap".
    """

    url: str
    kind: str
    depth: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A page that is in a file of the crawl.

    Attributes:
        file, start, size: its records, in which file, from which byte, how many.
        digest, payload: "sha256:<hex>" of these bytes, and of the body as it was sent.
        etag, modified: what its server calls this state by.
        body_bytes: of the body as it was sent.
        links: URLs it leads to, in their order.
    """

    url: str
    file: str
    start: int
    size: int
    digest: str
    payload: str
    etag: str | None
    modified: str | None
    body_bytes: int
    links: tuple[str, ...]


class Frontier:
    """The state of a crawl, in a file.

    Args:
        path: made where it is not there yet.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """No more is asked of it."""
        self._db.close()

    def add(self, urls: Iterable[str], kind: str, depth: int) -> None:
        """URLs to ask for; those that are known stay what they are."""
        with self._together():
            self._add(urls, kind, depth)

    def _add(self, urls: Iterable[str], kind: str, depth: int) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO urls (url, kind, depth, state) VALUES (?, ?, ?, 'waiting')",
            [(url, kind, depth) for url in urls],
        )

    def next(self) -> Waiting | None:
        """The URL to ask for, sitemaps first, then what is the fewest links away."""
        row = self._db.execute(
            "SELECT url, kind, depth FROM urls WHERE state = 'waiting' "
            "ORDER BY depth, number LIMIT 1"
        ).fetchone()
        return None if row is None else Waiting(*row)

    def keep(self, page: Kept, found: Iterable[str], depth: int, seconds: float) -> None:
        """A page came.

        Args:
            found: those of its links that are to be asked for, at this depth.
            seconds: of crawling, since the last was counted.
        """
        with self._together():
            self._db.execute(
                "UPDATE urls SET state = 'kept', file = ?, start = ?, size = ?, digest = ?, "
                "payload = ?, etag = ?, modified = ?, body_bytes = ?, links = ? WHERE url = ?",
                (page.file, page.start, page.size, page.digest, page.payload, page.etag,
                 page.modified, page.body_bytes, json.dumps(page.links), page.url),
            )  # fmt: skip
            self._add(found, "page", depth)
            self._count("pages", 1)
            self._count("bytes", page.body_bytes)
            self._count("seconds", seconds)

    def leave(
        self, url: str, state: str, reason: str, detail: str, seconds: float,
        found: Iterable[str] = (), kind: str = "page", depth: int = 0,
    ) -> None:  # fmt: skip
        """Nothing is kept of a URL.

        Args:
            state: "refused", or "passed" for what is no page: a redirect, a sitemap.
            found: further URLs, of a kind and depth.
        """
        with self._together():
            self._db.execute(
                "UPDATE urls SET state = ?, reason = ?, detail = ? WHERE url = ?",
                (state, reason, detail, url),
            )
            self._add(found, kind, depth)
            self._count(state, 1)
            self._count("seconds", seconds)

    def robots(self, origin: str) -> tuple[int, str] | None:
        """Status and text of a robots.txt, if it was asked for."""
        row = self._db.execute(
            "SELECT status, body FROM robots WHERE origin = ?", (origin,)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def add_robots(self, origin: str, status: int, text: str) -> None:
        """A robots.txt came; with a status of 0 it could not be asked for."""
        with self._together():
            self._db.execute(
                "INSERT OR REPLACE INTO robots VALUES (?, ?, ?)", (origin, status, text)
            )

    def counted(self, name: str) -> float:
        """Pages, bytes, seconds so far, those of earlier processes too."""
        row = self._db.execute("SELECT value FROM crawl WHERE name = ?", (name,)).fetchone()
        return 0.0 if row is None else float(row[0])

    def _count(self, name: str, more: float) -> None:
        self._db.execute(
            "INSERT INTO crawl VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (name, more),
        )

    def end(self) -> None:
        """The crawl is complete: what waits is left out."""
        with self._together():
            (left,) = self._db.execute(
                "SELECT count(*) FROM urls WHERE state = 'waiting' AND kind = 'page'"
            ).fetchone()
            self._count("left", left)
            self._count("ended", 1)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def kept(self) -> Iterator[Kept]:
        """Every page, in the order they came."""
        rows = self._db.execute(f"{_KEPT} WHERE state = 'kept' ORDER BY file, start")
        return (_kept(row) for row in rows)

    def find(self, url: str) -> Kept | None:
        """A page that is kept."""
        row = self._db.execute(f"{_KEPT} WHERE state = 'kept' AND url = ?", (url,)).fetchone()
        return None if row is None else _kept(row)

    def why_refused(self, url: str) -> tuple[str, str] | None:
        """Reason and detail of a URL that was refused."""
        row = self._db.execute(
            "SELECT reason, detail FROM urls WHERE state = 'refused' AND url = ?", (url,)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def refused(self) -> Iterator[tuple[str, str, str]]:
        """URL, reason and detail of each that was refused, in order."""
        return iter(
            self._db.execute(
                "SELECT url, reason, detail FROM urls WHERE state = 'refused' "
                "ORDER BY depth, number"
            ).fetchall()
        )

    def last_file(self) -> tuple[str, int, int]:
        """The file that was written last, its bytes and pages; ("", 0, 0) where there is none."""
        row = self._db.execute(
            "SELECT file, max(start + size), count(*) FROM urls WHERE state = 'kept' "
            "GROUP BY file ORDER BY file DESC LIMIT 1"
        ).fetchone()
        return ("", 0, 0) if row is None else (row[0], row[1], row[2])

    def _together(self) -> _Together:
        return _Together(self._db)


_KEPT = (
    "SELECT url, file, start, size, digest, payload, etag, modified, body_bytes, links FROM urls"
)


def _kept(row: tuple[str, str, int, int, str, str, str | None, str | None, int, str]) -> Kept:
    return Kept(*row[:9], tuple(json.loads(row[9])))


class _Together:
    """All that is written inside is there, or none of it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
