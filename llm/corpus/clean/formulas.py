r"""Formulas that a page gives several times, once.

MathML carries the formula it shows and, as `<annotation>`, the source it was made from (MathML
Core, section 4.4); KaTeX, LaTeXML and MediaWiki write TeX there. An extractor that knows none of
this gives both, run together: "λ\lambda". KaTeX adds a third, drawn one beside it, and MediaWiki
hides the MathML by style and shows a picture, so that the formula is lost.

trafilatura reads no MathML: the sentence stays, and its formula is gone.

Every formula becomes text: its TeX where there is some, between `$`, or `$$` where it stands on a
line of its own; else the characters MathML shows. All other forms go.
"""

from __future__ import annotations

from typing import Any

_TEX = ("application/x-tex", "application/x-latex", "text/x-tex", "tex", "latex")
# What holds all forms of one formula: KaTeX, MediaWiki.
_WHOLE = frozenset(("katex", "mwe-math-element"))
_HELD = 4  # elements between <math> and what holds all forms, at most


def has_formulas(markup: str) -> bool:
    """Whether `give_once` could have anything to do; cheap."""
    return "<math" in markup or "<MATH" in markup


def give_once(tree: Any) -> None:
    """Change a parsed page (`resiliparse.parse.html.HTMLTree`) so that it has each formula once,
    as text."""
    for formula in list(tree.document.query_selector_all("math")):
        source = _tex(formula)
        if source is None:
            for annotation in list(formula.query_selector_all("annotation, annotation-xml")):
                # Not freed: a formula inside it may still come.
                annotation.parent.remove_child(annotation)
            shown = " ".join(formula.text.split())
        else:
            mark = "$$" if (formula.getattr("display") or "") == "block" else "$"
            shown = f"{mark}{source}{mark}"
        whole = formula if source is None else _whole(formula)
        whole.parent.replace_child(tree.create_text_node(shown), whole)


def _tex(formula: Any) -> str | None:
    for annotation in formula.query_selector_all("annotation"):
        if (annotation.getattr("encoding") or "").strip().lower() in _TEX:
            source = " ".join(annotation.text.split())
            # MediaWiki's wrapping says nothing about the formula.
            if source.startswith("{\\displaystyle ") and source.endswith("}"):
                source = source[len("{\\displaystyle ") : -1].strip()
            if source:
                return source
    return None


def _whole(formula: Any) -> Any:
    whole, above = formula, formula.parent
    for _ in range(_HELD):
        if above is None or above.type != formula.type:
            break
        if not _WHOLE.isdisjoint(above.class_list):
            whole = above
        above = above.parent
    return whole
