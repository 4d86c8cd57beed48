"""Pages of Python documentation, as the clean stage leaves them, taken apart again.

Such a page has the module's name as its first line and one heading a class, function, method
and attribute on a line of its own, the full dotted name with its signature, with the docstring
below it: `bisect.bisect_left(a, x, lo=0)`, `class email.message.Message(policy=compat32)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "pydocs://"
README = "README"
# After this title come names of other definitions, which look like headings of attributes.
_SEE_ALSO = "See Also"


@dataclass(frozen=True)
class Definition:
    """One heading of a page and what stands below it.

    Attributes:
        name: full dotted name.
        signature: "(a, x, lo=0)", or empty.
        kind: "module", "class", "function", "method" or "attribute".
        paragraphs: of the docstring, in order; a list, a table or code is one of many lines.
    """

    name: str
    signature: str
    kind: str
    paragraphs: tuple[str, ...]


def module_of(url: str | None) -> str | None:
    """The module a page of documentation is about; `None` for a README or any other page."""
    if url is None or not url.startswith(SCHEME):
        return None
    module = url.rpartition("/")[2]
    return None if module in ("", README) else module


def definitions(module: str, text: str) -> list[Definition]:
    """The module itself, if the text begins with its name, and what it defines, in order.

    Args:
        module: dotted name.
        text: with or without blank lines between paragraphs, as engines differ in that.
    """
    heading = re.compile(
        rf"(?P<class>class )?(?P<name>{re.escape(module)}(?:\.\w+)+)(?P<signature>\(.*\))?"
    )
    found: list[Definition] = []
    classes: set[str] = set()
    head: tuple[str, str, str] | None = None
    body: list[str] = []
    see_also = False

    def close() -> None:
        if head is not None:
            found.append(Definition(*head, tuple(body)))
        body.clear()

    for number, paragraph in enumerate(_paragraphs(text)):
        match = heading.fullmatch(paragraph)
        if number == 0 and paragraph == module:
            head = (module, "", "module")
        elif match is not None and (match["signature"] or match["class"] or not see_also):
            close()
            name = match["name"]
            if match["class"]:
                classes.add(name)
                kind = "class"
            elif not match["signature"]:
                kind = "attribute"
            else:
                kind = "method" if name.rpartition(".")[0] in classes else "function"
            head, see_also = (name, match["signature"] or "", kind), False
        else:
            body.append(paragraph)
            see_also = paragraph == _SEE_ALSO or (see_also and not _is_title(paragraph))
    close()
    return found


def _paragraphs(text: str) -> list[str]:
    if "\n\n" in text:
        pieces = [piece.strip("\n") for piece in text.split("\n\n")]
    else:
        pieces = text.split("\n")
    return [piece for piece in pieces if piece.strip()]


def _is_title(paragraph: str) -> bool:
    return paragraph.istitle() and paragraph.replace(" ", "").isalpha()
