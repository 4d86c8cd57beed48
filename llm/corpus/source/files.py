"""One file, one page: HTML and plain text."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import quote

from llm.corpus.source.encoding import UndecodableError, decode
from llm.corpus.source.records import Page, Record, Rejected, Removed
from llm.corpus.source.streams import DamagedStreamError, whole

# A text with more of these than one in a hundred characters is not text.
_CONTROL = frozenset(chr(code) for code in range(32) if chr(code) not in "\t\n\r\f\x1b")
_MAX_CONTROL = 0.01
_MAX_REPLACED = 0.01  # of the characters outside ASCII


def file_url(source: str, name: str) -> str:
    """`file:///<source>/<relative name>`: a URL that knows no machine."""
    return f"file:///{quote(source)}/{quote(name)}"


def read_html_file(path: Path, name: str, url: str, limit: int) -> Iterator[Record]:
    """An HTML file as one page; its encoding is left to extraction, which reads `<meta>`."""
    payload = yield from _content(path, name, url, limit)
    if payload is not None:
        yield Page(url, None, "text/html", None, payload, 0)


def read_text_file(path: Path, name: str, url: str, limit: int) -> Iterator[Record]:
    """A text file as one text/plain page in UTF-8, whatever it was written in."""
    payload = yield from _content(path, name, url, limit)
    if payload is None:
        return
    try:
        text = decoded_text(payload)
    except UndecodableError as error:
        yield Rejected("undecodable", url, payload, f"{name}: {error}")
        return
    yield Page(url, None, "text/plain", "utf-8", text.encode(), 0)


def decoded_text(data: bytes) -> str:
    """Text of unknown encoding: UTF-8 (or UTF-16 with a mark), else what uchardet makes of it.

    Raises:
        UndecodableError: no encoding fits, or the result holds the control characters of a
            binary file.
    """
    found = decode(data, "utf-8", _MAX_REPLACED)
    controls = sum(found.text.count(character) for character in _CONTROL)
    if controls > len(found.text) * _MAX_CONTROL:
        raise UndecodableError(
            f"as {found.encoding} it has {controls} control characters: a binary file"
        )
    return found.text


def _content(path: Path, name: str, url: str, limit: int) -> Generator[Record, None, bytes | None]:
    try:
        payload = whole(path, limit)
    except DamagedStreamError as error:
        reason = "truncated_file" if error.cut else "bad_record"
        detail = f"{name}, byte {error.offset}: {error.cause}"
        yield Rejected(reason, url, b"", detail)
        return None
    if payload is None:
        yield Rejected("too_large", url, b"", f"{name}: more than {limit} bytes")
        return None
    if not payload.strip():
        yield Removed("empty_body", url, b"", name)
        return None
    return payload
