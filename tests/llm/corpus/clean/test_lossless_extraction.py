"""No character of a page's prose is lost on the way through an engine, and none is added."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree, NodeType

from llm.corpus.clean import lone_nodes, unprintable
from llm.corpus.clean.main_text import extract
from llm.corpus.clean.outcome import Extraction

ENGINES = ["auto", "resiliparse", "trafilatura", "both"]
ARCHIVES = Path(__file__).parents[4].parent / "shared" / "data" / "html_warc"

PAGE = """<!doctype html><html><head><meta charset=utf-8><title>東</title></head><body><main>
<article><h1>Title of page</h1><p>私は<a href=x>東京</a>と<a href=y>大阪</a>に行く。</p>
<p>我<a href=x>爱</a>你</p><p>He said “<em>yes</em>” and left.</p>
<p><ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>です。</p><table><tr><td>東</td><td>京</td></tr></table>
</article></main></body></html>"""


def _text(markup: str, engine: str = "resiliparse") -> str:
    return extract(markup, None, Extraction(engine, 1.4, False, "text"), 100_000, 256).text


def _letters(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("engine", ENGINES)
def test_single_characters_between_elements_are_kept(engine: str) -> None:
    expected = "私は東京と大阪に行く。我爱你Hesaid“yes”andleft.漢かん字じです。東京"
    assert _letters(_text(PAGE, engine)) == "Titleofpage" + expected


def test_lines_and_title_are_those_of_the_page() -> None:
    assert extract(PAGE, None, Extraction("auto", 1.4, False, "text"), 1000, 64).found.title == "東"
    lines = [line for line in _text(PAGE).splitlines() if line]
    assert lines[1:3] == ["私は東京と大阪に行く。", "我爱你"]
    assert lines[-1].split() == ["東", "京"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("と", "と"),
        (" — ", "—"),
        ("&mdash;", "—"),
        ("&#x2211;", "∑"),
        ("&#8226", "•"),
        ("où", "où"),  # one byte and two
        ("5&deg;", "5°"),
        ("&#97;&eacute;", "aé"),
        ("\u0915", "क"),
        ("\u093f", "\u093f"),  # a mark alone
        ("\u200d", "\u200d"),
        ("\u200c", "\u200c"),
        ("&zwnj;", "\u200c"),
        ("𝛼", "𝛼"),
        ("😀", "😀"),
        ("é", "é"),
        ("¶", "¶"),
        ("\ufffd", "\ufffd"),
        ("<!-- c -->と<!-- d -->", "と"),
        ("<é", "<é"),
    ],
)
def test_a_node_of_few_bytes_is_kept(source: str, shown: str, engine: str) -> None:
    words = "Some words that stand in front of it and make a sentence of it, as prose does. "
    prose = f"<p>{words * 3}</p>" * 3
    node = f"<p>{words}<a href=x>link</a>{source}<b>bold</b> {words}</p>"
    text = _text(f"<html><body><article>{prose}{node}{prose}</article></body></html>", engine)
    # trafilatura sets some elements apart by white space.
    assert f"link{shown}bold" in re.sub(r"(?<=link)\s+|\s+(?=bold)", "", text)


@pytest.mark.parametrize("engine", ["auto", "resiliparse"])
def test_icons_and_links_to_headings_still_go(engine: str) -> None:
    markup = (
        "<main><h2>Heading<a class=headerlink href=#h>¶</a> <a href=#h><b>¶</b></a></h2>"
        "<p>Some <i>\ue001</i> words, and more of them.</p></main>"
    )
    assert _letters(_text(markup, engine)) == "HeadingSomewords,andmoreofthem."


def test_two_characters_of_three_bytes_and_character_data() -> None:
    """trafilatura composes the first and reads no CDATA."""
    assert "ae\u0301 b" in _text("<main><p>a<i>e\u0301</i> b and more words</p></main>")
    formula = "<math><mtext><![CDATA[∑]]></mtext></math>"
    assert "a∑b" in _text(f"<main><p>a{formula}b and more</p></main>")


def test_a_lone_character_first_or_last_in_the_page_is_kept() -> None:
    assert _letters(_text("と<p>words and words</p>東")) == "とwordsandwords東"


def test_more_kinds_of_characters_than_there_are_placeholders() -> None:
    characters = [chr(code) for code in (*range(0x3041, 0xD7A4), *range(0x900, 0x2000))]
    cells = "".join(f"<td>{character}</td>" for character in characters)
    assert len(characters) > 40_000
    how = Extraction("resiliparse", 1.4, False, "text")
    text = extract(f"<table><tr>{cells}</tr></table>", None, how, 10**6, 64).text
    found = "".join(text.replace("\t", "").split("\n"))
    assert sorted(found) == sorted("".join(characters))


def _dropped(node_text: str | None) -> bool:
    return lone_nodes.is_dropped((node_text or "").strip(" \t\n\v\f\r"))


def _options() -> dict[str, bool]:
    return {"main_content": True, "alt_texts": False, "comments": False}


def _by_nodes(markup: str) -> str:
    """What extraction should give: the same nodes, guarded one by one in the parsed page."""
    tree = HTMLTree.parse(markup)
    for node in [n for n in tree.document if n.type == NodeType.TEXT and _dropped(n.value)]:
        kept = node.value.rstrip(" \t\n\v\f\r")
        node.value = kept + "\x7f" + node.value[len(kept) :]
    return extract_plain_text(tree, **_options()).replace("\x7f", "")


def _soup(seed: int) -> str:
    draw = random.Random(seed)
    pieces = [
        *("<p>", "</p>", "<a href=x>", "</a>", "<b>", "</b>", "<td>", "<table><tr>", "</table>"),
        *(
            "と",
            "—",
            "où",
            "&mdash;",
            " ",
            "\n  ",
            "words of prose ",
            "東京",
            "&amp;lt",
            "été",
            "is",
        ),
        *("<!-- と -->", "<ul><li>", "</ul>", "<script>x>と<y</script>", "𝛼", "5&nbsp;", ">", "< "),
        *("<br>", "<div class=nav>", "</div>", "\ue001", "<pre>", "</pre>", "\u200d", "&#x4e00;"),
    ]
    return "".join(draw.choice(pieces) for _ in range(60))


def test_the_guard_in_markup_is_the_guard_of_nodes() -> None:
    changed = 0
    for seed in range(1500):
        markup = _soup(seed)
        guarded, restore = lone_nodes.guard(markup)
        text = restore(extract_plain_text(HTMLTree.parse(guarded), **_options()))
        assert text == _by_nodes(markup), markup
        changed += guarded is not markup
    assert changed > 1000


def test_pages_without_such_nodes_are_left_as_they_are() -> None:
    markup = "<p>Größe und “Wert” — 東京 &amp; &lt;b&gt; <b>a</b> <i>&amp;</i></p>"
    assert lone_nodes.guard(markup)[0] is markup
    assert unprintable.guard(markup)[0] is markup


@pytest.mark.skipif(not ARCHIVES.exists(), reason="no ../shared/data/html_warc here")
def test_pages_of_other_languages_that_lose_characters() -> None:
    path = ARCHIVES / "mdn-i18n-00.warc.gz"
    losing, pages = [], 0
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            markup = record.reader.read().decode("utf-8", "replace")
            guarded, restore = lone_nodes.guard(markup)
            text = restore(extract_plain_text(HTMLTree.parse(guarded), **_options()))
            pages += 1
            if text != _by_nodes(markup):
                losing.append(record.headers["WARC-Target-URI"])
    assert pages > 200
    assert losing == []


@pytest.mark.parametrize("engine", ENGINES)
def test_invisible_characters_inside_words_are_kept(engine: str) -> None:
    """Persian needs its non-joiners, emoji their joiners, and the next Unicode its letters."""
    sentence = "این را می\u200cخواهم بنویسم \u06dd 👩\u200d💻 \ue123x \U0001fae8 و می&zwnj;دانم. "
    markup = f"<html><body><article><p>{sentence * 20}</p></article></body></html>"
    text = _text(markup, engine)
    for kept in ("می\u200cخواهم", "\u06dd", "👩\u200d💻", "\ue123x", "\U0001fae8", "می\u200cدانم"):
        assert text.count(kept) == 20
