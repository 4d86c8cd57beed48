"""One file, one page: HTML and plain text."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import quote

from resiliparse.parse.encoding import detect_encoding

from llm.corpus.records import Page, Record, Rejected, Removed
from llm.corpus.streams import DamagedStreamError, whole

# A text with more of these than one in a hundred characters is not text.
_CONTROL = frozenset(chr(code) for code in range(32) if chr(code) not in "\t\n\r\f\x1b")
_MOST_CONTROL = 0.01


class UndecodableError(ValueError):
    """Bytes that are no text in any encoding that was tried; says which and where."""


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
        UndecodableError: the encoding found does not fit all bytes, or the result holds the
            control characters of a binary file.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        try:
            return _checked(data.decode("utf-8-sig"), "utf-8")
        except UnicodeDecodeError as error:
            first = error.start
        encoding = detect_encoding(data) or "windows-1252"
        if encoding == "utf-8":  # what uchardet says when it does not know
            raise UndecodableError(f"not UTF-8 (byte {first}), and no other encoding was found")
    try:
        return _checked(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        raise UndecodableError(f"taken for {encoding}, but byte {error.start} is not") from error
    except LookupError as error:
        raise UndecodableError(f"taken for {encoding}, which Python cannot decode") from error


def _checked(text: str, encoding: str) -> str:
    found = sum(text.count(character) for character in _CONTROL)
    if found > len(text) * _MOST_CONTROL:
        raise UndecodableError(f"as {encoding} it has {found} control characters: a binary file")
    return text


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
