"""Tables that fit a narrow page: long words in their cells may be broken, and copied whole.

Prefect's pages give a table the room beside their margin. One whose words are longer runs over
what stands there. `<wbr>` is a place to break at that a page does not show, and nobody copies.
"""

from __future__ import annotations

import re
from urllib.parse import quote

_BREAK = "<wbr>"
# Of a row that Markdown takes for a table's; what is quoted or fenced begins otherwise.
_ROW = "| "
_LONGEST = 12
_WORD = re.compile(rf"(?:\\.|[^\s|\\]){{{_LONGEST},}}")  # an escaped bar is of the word
_URL = re.compile(r"https?://[^\s<>]+")
# Where words are put together; and every so often in what is one piece, such as a digest.
_JOINT = re.compile(r"((?:\\?[_@:/.=?,])+)(?=[^\s\\|])")
_PIECE = re.compile(r"[^\W_]{24}(?=[^\W_]{8})")
# What may stand in the address of a link as it is.
_SAFE = "/:?#@!$&+,;=~%-._*"


def breakable(text: str) -> str:
    """Markdown whose tables have places to break long words at; all else is as it was."""
    lines = text.split("\n")
    return "\n".join(_WORD.sub(_broken, line) if line.startswith(_ROW) else line for line in lines)


def _broken(found: re.Match[str]) -> str:
    word = found[0]
    if "](" in word:  # a link that somebody wrote
        return word
    if _URL.fullmatch(word):
        # Of an address with a break in it a page would make a link that ends there.
        plain = word.replace("\\", "").replace("&amp;", "&")
        return f"[{_pieces(word)}](<{quote(plain, safe=_SAFE)}>)"
    return word if "://" in word or word.startswith("www.") else _pieces(word)


def _pieces(word: str) -> str:
    return _PIECE.sub(rf"\g<0>{_BREAK}", _JOINT.sub(rf"\g<1>{_BREAK}", word))
