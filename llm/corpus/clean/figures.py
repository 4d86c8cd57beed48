"""Figures of a page that are text, as an extractor that skips figures takes them for text.

With `alt_texts=False` resiliparse 2.0.1 skips not only alternative texts but every `<figure>` and
`<figcaption>` with all that is in it; trafilatura keeps figures of tables alone. HTML means by the
element any self-contained content that the text refers to (HTML, section 4.4.12): tables,
listings, quotations and verses as well, and programs that make documentation put them there.

What shows a picture and says nothing but its caption stays out of sight.
"""

from __future__ import annotations

import re
from typing import Any

_FIGURE = re.compile(r"<fig(?:ure|caption)\b", re.IGNORECASE)
_TEXT = "pre, table, blockquote, code, math, dl"
_PROSE = "p, ul, ol"
_PICTURE = "img, picture, svg, video, audio, object, embed, canvas, iframe, noscript"


def open_figures(markup: str, tree: Any) -> bool:
    """Change a parsed page (`resiliparse.parse.html.HTMLTree`): figures of text, and their
    captions, become `<div>`s with the same attributes, by which an extractor knows what is hidden.

    Returns:
        Whether there was any.
    """
    if not _FIGURE.search(markup):
        return False
    opened = False
    # From the inside out, so that no element that is still to come is inside one that is gone.
    for element in reversed(list(tree.document.query_selector_all("figure, figcaption"))):
        figure = element if element.tag == "figure" else element.closest("figure")
        if figure is not None and not _is_text(figure):
            continue
        division = tree.create_element("div")
        for name in element.attrs:
            division.setattr(name, element.getattr(name) or "")
        while (child := element.first_child) is not None:
            division.append_child(child)
        element.parent.replace_child(division, element)
        opened = True
    return opened


def _is_text(figure: Any) -> bool:
    if _beside_caption(figure, _TEXT):
        return True
    # Pages that load their pictures later have none, so that this alone would not do.
    return figure.query_selector(_PICTURE) is None and _beside_caption(figure, _PROSE)


def _beside_caption(figure: Any, selector: str) -> bool:
    found = figure.query_selector_all(selector)
    return any(element.closest("figcaption") is None for element in found)
