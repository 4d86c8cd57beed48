"""A formula is in the text once, as its source where there is one; what a page asks of robots."""

from __future__ import annotations

import pytest
from resiliparse.parse.html import HTMLTree

from llm.corpus.html import extract
from llm.corpus.robots import Robots, directives, robots

ENGINES = ["resiliparse", "trafilatura", "both"]
WORDS = "it is known to all the people who ever read about it"
KATEX = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>λ</mi></mrow>'
    '<annotation encoding="application/x-tex">\\lambda</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true">λ</span></span>'
)
MEDIAWIKI = (
    '<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;">'
    '<math alttext="{\\displaystyle E=mc^{2}}"><semantics><mrow><mi>E</mi></mrow><annotation '
    'encoding="application/x-tex">{\\displaystyle E=mc^{2}}</annotation></semantics></math></span>'
    '<img src=x class="mwe-math-fallback-image-inline" alt="{\\displaystyle E=mc^{2}}"></span>'
)
LATEXML = (
    '<math display="block"><semantics><mi>α</mi><annotation-xml encoding="MathML-Content">'
    '<ci>𝛼</ci></annotation-xml><annotation encoding="application/x-tex">\\alpha</annotation>'
    '<annotation encoding="application/x-llamapun">italic_α</annotation></semantics></math>'
)
MATHML = (
    "<math><semantics><mi>x</mi><annotation-xml encoding='MathML-Content'><ci>y</ci>"
    "</annotation-xml></semantics></math>"
)


def _text(markup: str, engine: str) -> str:
    prose = f"<p>{WORDS}, and it is all true.</p>" * 5
    page = f"<main><article>{prose}<p>Here {markup} holds, and {WORDS}.</p>{prose}</article></main>"
    text = " ".join(extract(page, engine, 1.4, False, 1000, 64).text.split())
    return text[text.index("Here") : text.index(".", text.index("Here")) + 1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        (KATEX, "$\\lambda$"),
        (MEDIAWIKI, "$E=mc^{2}$"),
        (LATEXML, "$$\\alpha$$"),
        (MATHML, "x"),
        ("<math><mi>a</mi><mo>=</mo><mn>1</mn></math>", "a=1"),
    ],
)
def test_a_formula_is_given_once(markup: str, shown: str, engine: str) -> None:
    assert _text(markup, engine) == f"Here {shown} holds, and {WORDS}."


@pytest.mark.parametrize(
    ("head", "listed", "asked"),
    [
        ("", None, (False, False)),
        ("<meta name=robots content='index, follow'>", "follow, index", (False, False)),
        ("<META NAME=Robots CONTENT='NOINDEX,nofollow'>", "nofollow, noindex", (True, False)),
        ("<meta name=robots content=none>", "none", (True, False)),
        ("<meta name=robots content='noai, noimageai'>", "noai, noimageai", (False, True)),
        ("<meta name=robots content=noimageai>", "noimageai", (False, True)),
        ("<meta name=tdm-reservation content=1>", "tdm-reservation", (False, True)),
        ("<meta name=tdm-reservation content=0>", None, (False, False)),
        ("<meta name=googlebot content=noindex>", None, (False, False)),
        (
            "<meta name=robots content=noai><meta name=robots content=noindex>",
            "noai, noindex",
            (True, True),
        ),
    ],
)
def test_what_a_page_asks_of_robots(
    head: str, listed: str | None, asked: tuple[bool, bool]
) -> None:
    markup = f"<html><head>{head}</head><body><p>words</p></body></html>"
    assert directives(markup, HTMLTree.parse(markup)) == listed
    assert robots(listed) == Robots(*asked)
