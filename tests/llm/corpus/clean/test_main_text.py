"""What each engine keeps of pages whose content is known, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from resiliparse.parse.html import HTMLTree

from llm.corpus.clean import main_text
from llm.corpus.clean.main_text import (
    EngineError,
    Extracted,
    extract,
)
from llm.corpus.clean.markup_events import TooDeepError, TooManyNodesError
from llm.corpus.clean.outcome import Extraction
from llm.corpus.source.archives import read_archive
from llm.corpus.source.records import Page

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data"
ENGINES = ["auto", "resiliparse", "trafilatura", "both"]

# As the source `pydocs` renders a module.
MODULE = """<!DOCTYPE html><html><head><title>pkg.mod</title></head><body>
<nav><a href="pkg.html">Up to the package</a> <a href="pkg.other.html">Next module</a></nav>
<main><h1>pkg.mod</h1>
<p>Tools for shaping arrays, with   some
words to fill the paragraph.</p>
<h2 id="f"><code>pkg.mod.f(x, y=1)</code></h2>
<p>Return the sum of both arguments.</p>
<ul><li>The first is a number, which may be negative.</li>
<li>The second is added to it.<ul><li>It defaults to one.</li></ul></li></ul>
<dl><dt>x : int</dt><dd>What to add to.</dd></dl>
<pre>&gt;&gt;&gt; def g():
...     return f(1)

    indented
</pre>
<h2 id="C"><code>class pkg.mod.C(policy=compat32)</code></h2>
<p>A holder of things.</p>
<h3 id="C.m"><code>pkg.mod.C.m(self, *args, **kwargs) -&gt; list[int]</code></h3>
<p>List what is held.</p>
</main><footer>Made by a generator</footer></body></html>"""


def _extract(markup: str, engine: str = "resiliparse", **changes: object) -> Extracted:
    settings: dict[str, Any] = {"comments": False, "max_nodes": 1000, "max_depth": 64} | changes
    how = Extraction(engine, 1.4, settings["comments"], "text")
    return extract(markup, None, how, settings["max_nodes"], settings["max_depth"])


@pytest.mark.parametrize("engine", ENGINES)
def test_signatures_stand_on_lines_of_their_own(engine: str) -> None:
    found = _extract(MODULE, engine)
    assert found.found.title == "pkg.mod"
    lines = [line.strip() for line in found.text.splitlines() if line.strip()]
    start = lines.index("pkg.mod.f(x, y=1)")
    assert lines[start + 1] == "Return the sum of both arguments."
    start = lines.index("class pkg.mod.C(policy=compat32)")
    assert lines[start + 1 : start + 4] == [
        "A holder of things.",
        "pkg.mod.C.m(self, *args, **kwargs) -> list[int]",
        "List what is held.",
    ]
    assert "Tools for shaping arrays, with some words to fill the paragraph." in lines


@pytest.mark.parametrize("engine", ENGINES)
def test_lists_and_preformatted_text_are_kept(engine: str) -> None:
    text = _extract(MODULE, engine).text
    lines = text.splitlines()
    for item in ("The first is a number, which may be negative.", "It defaults to one."):
        assert any(line.lstrip(" •-") == item for line in lines), item
    assert ">>> def g():\n...     return f(1)\n" in text
    assert "    indented" in lines


@pytest.mark.parametrize("engine", ["auto", "resiliparse"])
def test_navigation_and_footer_are_dropped(engine: str) -> None:
    text = _extract(MODULE, engine).text
    assert "Next module" not in text
    assert "Made by a generator" not in text


@pytest.mark.parametrize("engine", ["auto", "resiliparse"])
def test_a_list_of_links_is_still_navigation(engine: str) -> None:
    links = "".join(f"<li><a href='{n}'>Chapter {n}</a></li>" for n in range(5))
    prose = "<li>Prose with <a href=x>a link</a> in a longer sentence.</li>"
    page = f"<body><h1>T</h1><ul>{links}</ul><p>Text of the page.</p><ul>{prose}</ul></body>"
    text = _extract(page, engine).text
    assert "Chapter 3" not in text
    assert "Prose with a link in a longer sentence." in text


@pytest.mark.parametrize("engine", ["auto", "resiliparse"])
def test_comments_on_request(engine: str) -> None:
    page = (
        "<body><article><p>" + "The article has many words in it. " * 20 + "</p></article>"
        "<div id='comments' class='comments'><p>"
        + "I disagree with this. " * 5
        + "</p></div></body>"
    )
    assert "I disagree" not in _extract(page, engine).text
    assert "I disagree" in _extract(page, engine, comments=True).text


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title> Two\n lines </title><h1>Other</h1>", "Two lines"),
        ("<title> </title><body><h1>The <em>heading</em></h1><h1>No</h1>", "The heading"),
        ("<p>none</p>", None),
    ],
)
def test_titles(page: str, title: str | None) -> None:
    assert _extract(page).found.title == title


def test_both_takes_the_longer_text_only_past_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_text, "_resiliparse", lambda tree, restore, comments: "x" * 140)
    monkeypatch.setattr(main_text, "_trafilatura", lambda markup, comments: "y" * 100)
    assert _extract("<p>", "both").engine == "trafilatura"
    monkeypatch.setattr(main_text, "_resiliparse", lambda tree, restore, comments: "x" * 141)
    assert _extract("<p>", "both").engine == "resiliparse"


@pytest.mark.parametrize("engine", ENGINES)
def test_xhtml_with_a_declaration(engine: str) -> None:
    page = (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml">'
        "<head><title>t</title></head><body><section><p>"
        + "It was a bright cold day in April. " * 12
        + "</p></section></body></html>"
    )
    assert _extract(page, engine).text.count("bright cold day") == 12


@pytest.mark.parametrize("first", ["<nav><a href=x>menu</a></nav>", "", "<x-bar>menu</x-bar>"])
def test_a_page_without_a_body_has_its_text(first: str) -> None:
    prose = "<p>It was a bright cold day in April, and the clocks were striking.</p>" * 12
    page = f"<head><title>t</title>{first}<main><article>{prose}</article></main>"
    text = _extract(page, "auto").text
    assert text.count("bright cold day") == 12
    assert not text.startswith("t")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "page", ["", "<!", "<frameset><frame src=a></frameset>", "<p>&#0;&#xD800;"]
)
def test_odd_pages_are_no_error(engine: str, page: str) -> None:
    assert _extract(page, engine).text.strip("\ufffd\n ") == ""


def test_limits_are_exact() -> None:
    # html, head and body are elements too, and html and body are above the first div.
    page = "<body>" + "<div>" * 14 + "x" + "</div>" * 14
    assert _extract(page, max_depth=16, max_nodes=17).text == "x"
    with pytest.raises(TooDeepError, match="more than 15 deep"):
        _extract(page, max_depth=15)
    with pytest.raises(TooManyNodesError, match=r"17 elements; at most 16"):
        _extract(page, max_nodes=16)


def test_a_hundred_thousand_levels_are_refused_at_once() -> None:
    with pytest.raises(TooDeepError):
        _extract("<div>" * 100_000, max_nodes=1_000_000)


def test_what_an_engine_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> str:
        raise IndexError("list index out of range")

    monkeypatch.setattr("resiliparse.extract.html2text.extract_plain_text", broken)
    with pytest.raises(EngineError, match="resiliparse: IndexError: list index out of range"):
        _extract("<p>x")


PROSE = "<p>It is known to all the people who ever read about it, and it is all true.</p>" * 4


@pytest.mark.parametrize(
    ("figure", "kept"),
    [
        ("<figure><pre>def f():\n    pass</pre><figcaption>Listing 1: f</figcaption></figure>",
         ["def f():\n    pass", "Listing 1: f"]),
        ("<FIGURE><table><tr><td>one<td>two</table></FIGURE>", ["one", "two"]),
        ("<figure><blockquote>To be</blockquote><figcaption>Hamlet</figcaption></figure>",
         ["To be", "Hamlet"]),
        ("<figure class=listing><figure><img src=x><figcaption>A</figcaption></figure>"
         "<pre>x = 1</pre></figure>", ["x = 1"]),
        ("<figure><p>Roses are red</p></figure>", ["Roses are red"]),
        ("<figure><img src=x alt=hidden><figcaption>A <code>picture</code></figcaption></figure>",
         []),
        ("<figure><img src=x><p>A picture of it</p></figure>", []),
        ("<figure><span>Image copyright</span></figure>", []),
        ("<figure hidden><pre>hidden</pre></figure>", []),
        ("<figure aria-hidden=true><pre>hidden</pre></figure>", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("engine", ["auto", "resiliparse"])
def test_figures_of_text_are_text(figure: str, kept: list[str], engine: str) -> None:
    page = f"<body><main>{PROSE}{{}}{PROSE}</main></body>"
    with_figure, without = (_extract(page.format(one), engine).text for one in (figure, ""))
    assert all(text in with_figure for text in kept)
    if not kept:
        assert with_figure.split() == without.split()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_listing_in_a_figure_is_kept_by_every_engine(engine: str) -> None:
    figure = "<figure><pre>def f():\n    return 1</pre><figcaption>Listing</figcaption></figure>"
    formula = "<figure><img src=x><p>where <math><mi>E</mi></math> holds for all</p></figure>"
    page = f"<body><main>{PROSE}{figure}{PROSE}{formula}{PROSE}</main></body>"
    lines = _extract(page, engine).text.split("\n")
    assert any("def f():" in line for line in lines)
    assert any("return 1" in line for line in lines)
    assert any("where E holds for all" in line for line in lines)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not beside the checkout")
def test_listings_of_a_book_in_figures_are_kept() -> None:
    path = DATA / "html_warc" / "rustbook-00.warc.gz"
    limit, lost, found = 10**7, 0, 0
    for page in read_archive(path, path.name, limit):
        if not isinstance(page, Page) or b"<figure" not in page.payload:
            continue
        tree = HTMLTree.parse(page.payload.decode())
        words = {
            w for code in tree.document.query_selector_all("figure pre") for w in code.text.split()
        }
        text = set(_extract(page.payload.decode(), max_nodes=10**6, max_depth=1000).text.split())
        lost, found = lost + len(words - text), found + len(words & text)
    assert found > 1000
    assert lost <= 0.02 * found
