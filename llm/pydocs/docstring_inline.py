"""Markup within a line of a docstring: literals, roles, links, emphasis."""

from __future__ import annotations

import re
from html import escape

# Repeats that could reach over the beginnings of other matches are bounded: else a line of
# beginnings without an end takes quadratic time.
_INLINE = re.compile(
    r"``(?P<literal>.+?)``"
    r"|:(?P<role>[\w:+-]{1,64}):`(?P<target>[^`]+)`"
    r"|`(?P<link>[^`<]*[^`<\s])\s*<(?P<url>[^`>]+)>`__?"
    r"|\[(?P<label>[^\]\[]+)\]\((?P<href>https?://[^)\s]{1,2048})\)"
    r"|`(?P<plain>[^`]+)`_{0,2}"
    r"|\*\*(?P<strong>[^\s*](?:[^*]*[^\s*])?)\*\*"
    r"|(?<![\w*])\*(?P<em>[^\s*](?:[^*]*[^\s*])?)\*(?![\w*])",
    re.DOTALL,
)


def inline_html(text: str) -> str:
    """Markup within a line (literals, roles, links, emphasis) as HTML; everything else escaped."""
    pieces, position = [], 0
    for match in _INLINE.finditer(text):
        pieces.append(escape(text[position : match.start()], quote=False))
        pieces.append(_span(match))
        position = match.end()
    pieces.append(escape(text[position:], quote=False))
    return "".join(pieces).replace("\\*", "*").replace("\\_", "_").replace("\\`", "`")


def _span(match: re.Match[str]) -> str:
    kind = match.lastgroup
    value = match.group(kind or 0)
    if kind == "target":
        shown = _without_address(value)
        shown = shown.rpartition(".")[2] if shown.startswith("~") else shown.lstrip("!")
        return f"<code>{escape(shown, quote=False)}</code>"
    if kind in ("url", "href"):
        shown = match.group("link" if kind == "url" else "label")
        return f'<a href="{escape(value.strip())}">{escape(shown, quote=False)}</a>'
    tag = {"strong": "strong", "em": "em"}.get(kind or "", "code")
    if kind == "plain" and match.group().endswith("_"):
        return escape(value, quote=False)
    return f"<{tag}>{escape(value, quote=False)}</{tag}>"


def _without_address(target: str) -> str:
    """Of `text <address>` the text; what has no address as it is."""
    if not target.endswith(">"):
        return target
    address = target.find("<", target.rfind(">", 0, len(target) - 1) + 1)
    return target if address < 0 else target[:address].rstrip()
