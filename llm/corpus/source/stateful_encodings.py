"""Encodings whose bytes are all ASCII: ISO-2022-JP, ISO-2022-KR, HZ.

They switch between alphabets with escape sequences (RFC 1468, RFC 1557, RFC 1843), so that every
superset of ASCII, UTF-8 too, takes them for its own and makes "$BF|K\\\\" of 日本.
"""

from __future__ import annotations

import re

_JAPANESE = re.compile(rb"\x1b\$(?:[@B]|\(D)(?:[\x21-\x7e]{2})+(?:[\r\n]|\x1b\()")
_JAPANESE_CODECS = ("iso2022_jp_ext", "iso2022_jp_2", "iso2022_jp_2004")
_KOREAN, _SHIFTED = b"\x1b$)C", re.compile(rb"\x0e[\x21-\x7e]{2}")
_CHINESE = re.compile(rb"~\{((?:[\x21-\x77][\x21-\x7e])+)~\}")
_USUAL_CHARACTER = re.compile(rb"[\x21-\x23\x30-\x57].", re.DOTALL)
_USUAL = 0.6  # of characters of a Chinese text that are of level 1, or punctuation
_PAIRS = 2
# Left as they are: parts in the other alphabet, whose second bytes may be tildes, and escapes.
_TILDE = re.compile(rb"(~\{(?:[\x21-\x77][\x21-\x7e])*+(?:~\})?|~[~}\n])|~")


def stateful(data: bytes) -> tuple[str, bytes] | None:
    """Codec, and the bytes to decode with it; `None` for text of any other kind."""
    if not data.isascii():
        return None
    if _JAPANESE.search(data):
        sound = (name for name in _JAPANESE_CODECS if _decodes(data, name))
        return next(sound, _JAPANESE_CODECS[0]), data
    announced = data.find(_KOREAN)
    if announced >= 0 and _SHIFTED.search(data, announced):
        return "iso2022_kr", data
    runs = _CHINESE.findall(data)
    pairs = [run[i : i + 2] for run in runs for i in range(0, len(run), 2)]
    usual = sum(_USUAL_CHARACTER.fullmatch(pair) is not None for pair in pairs)
    if len(pairs) >= _PAIRS and usual >= _USUAL * len(pairs):
        # A tilde stands twice by the standard, and once in the addresses of people's pages.
        return "hz", _TILDE.sub(lambda match: match[1] or b"~~", data)
    return None


def _decodes(data: bytes, name: str) -> bool:
    try:
        data.decode(name)
    except UnicodeDecodeError:
        return False
    return True
