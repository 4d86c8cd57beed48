r"""Formulas of a page as text: their TeX, once.

MathML carries the formula it shows and, as `<annotation>`, the source it was made from (MathML
Core, section 4.4); KaTeX, LaTeXML and MediaWiki write TeX there. MathJax leaves a script of type
`math/tex` where the formula is; pictures of formulas have it as alternative text. Where there is
no TeX, the characters MathML shows stand for the formula.
"""

from __future__ import annotations

import re

from llm.corpus.clean.markup_events import MarkupEvents

_TEX = ("application/x-tex", "application/x-latex", "text/x-tex", "tex", "latex")
# Classes that systems give to a picture of a formula: MediaWiki, WordPress, Sphinx, LaTeX2HTML.
_OF_FORMULAS = frozenset(
    ("latex", "tex", "math", "mwe-math-fallback-image-inline", "mwe-math-fallback-image-display")
)
_BESIDE = "mwe-math-element"  # holds a formula in all its forms
_FORMS = 500  # elements of the longest of its other forms
_DISPLAY_STYLE = "{\\displaystyle "


def formula_text(page: MarkupEvents, element: int) -> str:
    """A `<math>` or a `<script>` of MathJax as text; empty where it holds none."""
    if page.tags[element] == "script":
        kind = (page.attributes[element].get("type") or "").strip().lower()
        if not kind.startswith("math/tex"):
            return ""
        return _between(page.text(element), "display" in kind)
    inside = range(element + 1, page.after[element])
    source = page.attributes[element].get("alttext") or ""
    for inner in inside:
        if page.tags[inner] == "annotation":
            encoding = (page.attributes[inner].get("encoding") or "").strip().lower()
            if encoding in _TEX and (text := page.text(inner)).strip():
                source = text
                break
    if source.strip():
        return _between(source, page.attributes[element].get("display") == "block")
    return " ".join(_shown(page, element).split())


def formula_of_image(page: MarkupEvents, element: int) -> str:
    """The alternative text of a picture of a formula; empty for any other picture, or where the
    formula itself stands beside it."""
    attributes = page.attributes[element]
    names = (attributes.get("class") or "").split()
    if _OF_FORMULAS.isdisjoint(names) or not (source := (attributes.get("alt") or "").strip()):
        return ""
    above = page.parents[element]
    if _BESIDE in (page.attributes[above].get("class") or "") and (
        "math" in page.tags[max(above + 1, element - _FORMS) : element]
    ):
        return ""
    return _between(source, any("display" in name for name in names))


def _between(source: str, display: bool) -> str:
    text = re.sub(r"^\$+|\$+$", "", " ".join(source.split())).strip()
    # MediaWiki's wrapping says nothing about the formula.
    if text.startswith(_DISPLAY_STYLE) and text.endswith("}"):
        text = text[len(_DISPLAY_STYLE) : -1].strip()
    mark = "$$" if display else "$"
    return f"{mark}{text}{mark}" if text else ""


def _shown(page: MarkupEvents, element: int) -> str:
    """The text of MathML without its annotations."""
    pieces: list[str] = []
    index = page.begin[element]
    while index < page.finish[element]:
        event = page.events[index]
        index += 1
        if isinstance(event, str):
            pieces.append(event)
        elif event >= 0 and page.tags[event].startswith("annotation"):
            index = page.finish[event] + 1
    return "".join(pieces)
