"""Text from anywhere, made harmless for HTML and for SVG inside it."""

from __future__ import annotations

import html
import re

# NUL and its like end or confuse parsers, and XML has no U+FFFE and U+FFFF; a lone surrogate has no
# UTF-8.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """With U+FFFD for every character that no HTML page can hold; markup is left as it is."""
    return _CONTROL.sub("\ufffd", text)


def escape_xml(text: str) -> str:
    """For element content and for attributes in double quotes."""
    return html.escape(printable(text), quote=True)
