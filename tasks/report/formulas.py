"""Formulas: written in TeX, shown as MathML on a page, and as a tree that a PDF is set from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

from llm.errors import ExpectedError

_NAMESPACE = re.compile(r"^\{.*\}")
_EMS = re.compile(r"([0-9.]+)em")
_COMMAND = re.compile(r"\\[A-Za-z]+")


class FormulaError(ExpectedError, ValueError):
    """TeX that is not understood; names the formula."""


@dataclass(frozen=True)
class Formula:
    """A formula in TeX.

    Attributes:
        display: it stands on a line of its own.
    """

    tex: str
    display: bool

    @cached_property
    def mathml(self) -> str:
        """A `<math>` element, which browsers draw by themselves.

        Raises:
            FormulaError: the TeX is not understood.
        """
        from latex2mathml.converter import convert  # not before: few commands draw a report

        try:
            made = str(convert(self.tex, display="block" if self.display else "inline"))
        except Exception as error:
            raise FormulaError(f"{self.tex!r} is no TeX that can be shown: {error}") from error
        # What it does not know it passes on as text, with its backslash.
        if unknown := _COMMAND.search(made):
            raise FormulaError(f"{self.tex!r}: {unknown.group()} cannot be shown")
        return made

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The MathML as nested `{tag, text}` and `{tag, in}`, for `pdf.typ`.

        Raises:
            FormulaError: the TeX is not understood.
        """
        return _tree(ElementTree.fromstring(self.mathml))


def _tree(element: ElementTree.Element) -> dict[str, Any]:
    tag = _NAMESPACE.sub("", element.tag)
    children = list(element)
    if children:
        if tag == "mrow" and children[0].get("stretchy") == "true":
            tag = "fenced"  # as high as what it holds
        return {"tag": tag, "in": _beside([_tree(child) for child in children])}
    if tag == "mspace":
        width = _EMS.fullmatch(element.get("width", ""))
        return {"tag": tag, "em": float(width.group(1)) if width else 0.0}
    upright = element.get("mathvariant") == "normal"
    return {"tag": tag, "text": element.text or "", "upright": upright}


def _beside(row: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What stands in a row, with a table and the brackets around it as one."""
    found: list[dict[str, Any]] = []
    for node in row:
        if len(found) > 1 and found[-1]["tag"] == "mtable" and node["tag"] == "mo":
            opening, table = found[-2:]
            if opening["tag"] == "mo":
                found[-2:] = [{"tag": "fenced", "in": [opening, table, node]}]
                continue
        found.append(node)
    return found
