"""Bytes of a page to text: which encoding, and whether it can be believed.

Labels are read as browsers read them (WHATWG Encoding Standard,
https://encoding.spec.whatwg.org/#names-and-labels): "latin1" means
windows-1252, "gb2312" means GB 18030.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llm.corpus.source.stateful_encodings import stateful
from llm.errors import ExpectedError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The decoders of the standard where Python's codec of the same name knows fewer characters.
_WIDER = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
}
_UTF16 = ("utf-16-le", "utf-16-be")
# What uchardet calls encodings of the standard by names that are no labels of it.
_DETECTED = {"cp949": "cp949", "mac-cyrillic": "mac-cyrillic"}
# From so many sound characters of UTF-8 on, and so many for each that is none, it beats a label.
_SOUND = 8
_SOUND_EACH = 20
# Characters outside ASCII a page is granted when its bad bytes are measured.
_BEYOND_ASCII = 0.02
# Browsers look at the first 1,024 bytes; many pages have their declaration behind long scripts.
_HEAD = 4096
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:+-]+)", re.IGNORECASE)


class UndecodableError(ExpectedError, ValueError):
    """No encoding fits the bytes; the message lists those that were tried."""


@dataclass(frozen=True)
class Decoded:
    """Text of a page.

    Attributes:
        encoding: name of the Python codec used.
        replaced: bytes sequences that had no meaning in it and became U+FFFD.
    """

    text: str
    encoding: str
    replaced: int


def codec(label: str) -> str | None:
    """Python's codec for an encoding label, None for a label nobody knows."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    name = map_encoding_to_html5(label.strip(), False)
    return None if name is None else _WIDER.get(name, name)


def declared_in_page(data: bytes) -> str | None:
    """The label in a `<meta>` element or XML declaration, None where there is none.

    A page that can be read as far as its declaration is not UTF-16, whatever it says there: as in
    the standard, that label then means UTF-8.
    """
    head = data[:_HEAD]
    match = _XML.search(head) or _META.search(_COMMENT.sub(b"", head))
    if match is None:
        return None
    label = match[1].decode("ascii", "replace")
    return "utf-8" if codec(label) in _UTF16 else label


def _candidates(data: bytes, charset: str | None, max_replaced: float) -> Iterator[str]:
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    valid_utf8 = _valid_utf8(data)
    # No other text is valid UTF-8 by accident, or nearly so, and many labels, a server's default
    # among them, are wrong.
    if not data.isascii() and (valid_utf8 or _nearly_utf8(data, max_replaced)):
        yield "utf-8"
    for label in (charset, declared_in_page(data)):
        name = codec(label) if label else None
        if name is None or (name in _UTF16 and b"\0" not in data):
            continue  # UTF-16 of anything with markup or line ends has zero bytes
        yield name
    if valid_utf8:
        yield "utf-8"
    found = detect_encoding(data, html5_compatible=False) or ""
    detected = _DETECTED.get(found) or codec(map_encoding_to_html5(found) or "")
    if detected is not None:
        yield detected


def _valid_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _nearly_utf8(data: bytes, max_replaced: float) -> bool:
    text = data.decode("utf-8", "replace")
    replaced = text.count("\ufffd")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    sound = beyond_ascii - replaced
    enough = sound >= max(_SOUND, _SOUND_EACH * replaced)
    return enough and replaced <= max_replaced * beyond_ascii


def _cut_at_the_end(data: bytes) -> bool:
    """Whether two bytes or more at the end begin a character of UTF-8, and its rest is missing.

    One byte alone may as well be an accent of another encoding.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data, False)
    except UnicodeDecodeError:
        return False
    return len(decoder.getstate()[0]) > 1


def decode(data: bytes, charset: str | None, max_replaced: float) -> Decoded:
    """Decode a page, trusting in this order: byte order mark, escape sequences, validity as UTF-8
    of bytes beyond ASCII, HTTP charset, the page's own declaration, detection by uchardet. Bytes
    count as UTF-8 also where twenty of its characters are sound for each place that is not, and
    eight at least.

    The first encoding is taken in which the bytes that have no meaning are at most `max_replaced`
    of all characters outside ASCII; those become U+FFFD. In UTF-8, whose sequences no other text
    forms by accident, one such place is allowed whatever the share, two for each character that
    is sound as far as the page grants them, and a character that the end cuts in two. So a few bad
    bytes do not turn a UTF-8 page into windows-1252, while a page whose every accent is invalid
    moves on to the next. A page grants `max_replaced` of a fiftieth of its characters: a long one
    may have two bad bytes and hardly another character outside ASCII. Where no encoding is good
    enough, the best within that is.

    Args:
        charset: label in the Content-Type header, if any; unknown labels are passed over.

    Raises:
        UndecodableError: no encoding fits.
    """
    attempts: dict[str, bytes] = {}
    for mark, name in _BOMS:
        if data.startswith(mark):
            attempts[name] = data[len(mark) :]
            break
    else:
        switching = stateful(data)
        if switching is not None:
            attempts[switching[0]] = switching[1]
        for name in _candidates(data, charset, max_replaced):
            attempts.setdefault(name, data)
    tried = []
    best: Decoded | None = None
    for name, data in attempts.items():
        try:
            return Decoded(data.decode(name), name, 0)
        except UnicodeDecodeError as error:
            tried.append(f"{name}, not so from byte {error.start} on")
            text = data.decode(name, "replace")
        replaced = text.count("\ufffd")
        beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
        allowed = max_replaced * beyond_ascii
        granted = max_replaced * _BEYOND_ASCII * len(text)
        good = beyond_ascii - replaced
        if name == "utf-8" and (good or _cut_at_the_end(data)):
            allowed = max(allowed, 1, min(granted, 2 * good))
        if replaced <= allowed:
            return Decoded(text, name, replaced)
        if replaced <= granted and (best is None or replaced < best.replaced):
            best = Decoded(text, name, replaced)
    if best is not None:
        return best
    tried_names = "; ".join(tried) or "none declared, none detected"
    raise UndecodableError(f"the bytes fit no encoding (tried: {tried_names})")
