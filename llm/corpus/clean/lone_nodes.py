"""Text nodes that resiliparse would take for icons, guarded while it extracts.

With `main_content=True` resiliparse 2.0.1 drops every text node that is, white space apart, one
code point of the private use area (an icon font) or a pilcrow (a link to a heading). It compares
bytes in the wrong order, so that nearly every node of three bytes of which the last is not ASCII
goes as well: と between two links, an opening quotation mark before `<em>`, `<td>東</td>`, but
also où, 5° or a letter and a no-break space. (`_is_unprintable_pua`, extract/html2text.pyx.)

What decides between main content and the rest are sizes in bytes. So such a node is replaced, in
the markup, by a placeholder of equally many bytes that does not look like an icon: a character of
two bytes and a control character, which no text has. Every decision stays what it was.

Code points of the private use area alone in a node, and a pilcrow alone in a link, are still
dropped. Not seen is a pair like "aé" that is one node only because the parser ignores a misplaced
tag between the two.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

_SPACE = " \\t\\n\\v\\f\\r"  # what C's isspace strips
_REFERENCE = "&\\#?[0-9A-Za-z]{1,32};?"
# Up to three characters between two tags, not all of them plain ASCII.
_NODE = (
    f"(?P<space>[{_SPACE}]*+)"
    f"(?P<text>[!-~\\x01-\\x08\\x0e-\\x1f]?(?:[^\\x00-\\x7f]|{_REFERENCE})"
    f"(?:[^\\x00-\\x20<>&]|{_REFERENCE})?)"
    f"(?=[{_SPACE}]*+(?:<|\\]\\]>|\\Z))"
)
_LONE = re.compile(f"(?P<before>>){_NODE}")  # a literal in front: found at the speed of memchr
_LONE_FIRST = re.compile(f"(?P<before>){_NODE}")
_LONE_CDATA = re.compile(f"(?P<before><!\\[CDATA\\[){_NODE}")
# The pilcrow of a link: what closes behind it, up to the link itself.
_CLOSES_LINK = re.compile(f"[{_SPACE}]*(?:</(?!a\\b)\\w+>[{_SPACE}]*)*</a\\b", re.IGNORECASE)
_PILCROW = "¶"
_SPACES = " \t\n\v\f\r"
_PRIVATE = range(0xE000, 0xF900)

_CONTROLS = [chr(code) for code in (*range(0x01, 0x09), *range(0x0E, 0x20))]
_LETTERS = range(0x100, 0x800)  # two bytes each
_PLACEHOLDER = re.compile("[\u0100-\u07ff][\x01-\x08\x0e-\x1f]")
# Behind a node for which no placeholder is left: one byte more, and never dropped.
_GUARD = "\x7f"


def _identity(text: str) -> str:
    return text


def guard(markup: str) -> tuple[str, Callable[[str], str]]:
    """Markup whose lone characters survive extraction, and what undoes the change.

    Returns:
        The markup (the same object where nothing had to be done) and a function that gives text
        extracted from it its characters back. Equal markup gives equal results.
    """
    known: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        source = match["text"]
        text = html.unescape(source) if "&" in source else source
        if not is_dropped(text.strip(_SPACES)):
            return match[0]
        if text == _PILCROW and _CLOSES_LINK.match(match.string, match.end()):
            return match[0]
        placeholder = known.get(text)
        if placeholder is None:
            placeholder = known[text] = _placeholder(len(known), text)
        return match["before"] + match["space"] + placeholder

    guarded = _LONE.sub(replace, markup)
    if first := _LONE_FIRST.match(guarded):
        guarded = replace(first) + guarded[first.end() :]
    if "<![CDATA[" in guarded:
        guarded = _LONE_CDATA.sub(replace, guarded)
    if not known:
        return markup, _identity
    original = {placeholder: text for text, placeholder in known.items()}

    def restore(extracted: str) -> str:
        text = _PLACEHOLDER.sub(lambda match: original.get(match[0], match[0]), extracted)
        return text.replace(_GUARD, "")

    return guarded, restore


def is_dropped(text: str) -> bool:
    """Whether resiliparse drops a node of this text (stripped) although it is no icon."""
    if text == _PILCROW:
        return True
    data = text.encode("utf-8", "surrogatepass")
    if len(data) != 3 or data[2] < 0x80:
        return False
    return len(text) > 1 or ord(text) not in _PRIVATE


def _placeholder(number: int, text: str) -> str:
    control, letter = divmod(number, len(_LETTERS))
    if control < len(_CONTROLS) and text != _PILCROW:
        return chr(_LETTERS[letter]) + _CONTROLS[control]
    return text + _GUARD
