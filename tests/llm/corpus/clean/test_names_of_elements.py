"""What names of elements say, and that none of them empties a page."""

from __future__ import annotations

import pytest

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.outcome import Extraction
from llm.corpus.clean.roles import _WORDS, Role, role, role_of_name

SENTENCES = [
    f"Sentence {n} tells of a walk through the hills, and of rain on it." for n in range(9)
]
PROSE = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES)
FRAME = (
    "<html><head><title>t</title></head><body {body}><nav><a href=a>one</a><a href=b>two</a></nav>"
    "{content}<footer><p>Contact us at any time of the day or of the night.</p></footer></body>"
)
NAMES = sorted({name for names in _WORDS.values() for name in names.split()})


def _text(**parts: str) -> str:
    page = FRAME.format(**{"body": ""} | parts)
    return extract(page, None, Extraction("auto", 1.4, False, "text"), 10_000, 256).text


@pytest.mark.parametrize("heading", ["<h1>A walk</h1>", ""])
def test_no_name_empties_a_page(heading: str) -> None:
    lost = [
        (name, key)
        for name in NAMES
        for key in ("class", "id")
        if any(
            sentence not in _text(content=f"<div {key}='{name}'>{heading}{PROSE}</div>")
            for sentence in SENTENCES
        )
    ]
    assert lost == []


def test_names_of_the_body_say_nothing() -> None:
    body = f"class='{' '.join(NAMES[:12])} single tag-x' id='{NAMES[20]}'"
    text = _text(body=body, content=f"<article>{PROSE}</article>")
    assert all(sentence in text for sentence in SENTENCES)
    assert "Contact us" not in text


@pytest.mark.parametrize("tag", ["aside", "header", "nav", "form", "label", "template hidden"])
def test_no_element_that_holds_all_is_left_out(tag: str) -> None:
    name = tag.split()[0]
    text = _text(content=f"<{tag}><h1>A walk</h1>{PROSE}</{name}>")
    assert all(sentence in text for sentence in SENTENCES)


def test_beside_text_the_same_names_are_clutter() -> None:
    clutter = Role.NAVIGATION | Role.ASIDE | Role.OVERLAY | Role.RELATED | Role.PROMOTION
    names = [name for part, found in _WORDS.items() if part & clutter for name in found.split()]
    for name in names:
        aside = f"<div class='{name}'><p>Have a look at what we have for you today.</p></div>"
        text = _text(content=f"<article>{PROSE}{aside}{PROSE}</article>")
        assert "look at what we have" not in text, name
        assert text.count(SENTENCES[0]) == 2


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("share-bar", Role.SHARE),
        ("shareBar", Role.SHARE),
        ("Post__related--articles", Role.RELATED),
        ("shareholder", Role.NONE),
        ("advertiser-content2", Role.NONE),
        ("navigate", Role.NONE),
        ("post-31", Role.POST),
        ("comment_content", Role.POST | Role.COMMENTS),
        ("post-author", Role.BYLINE),
        ("article__body", Role.BODY),
        ("entry-content", Role.BODY),
        ("side", Role.ASIDE),
        ("left-side", Role.NONE),
        ("x" * 1_000_000 + " nav", Role.NONE),
    ],
)
def test_what_a_name_says(name: str, part: Role) -> None:
    assert Role(role_of_name(name)) == part


@pytest.mark.parametrize(
    ("tag", "attributes", "part"),
    [
        ("div", {"hidden": "", "id": "S:1a"}, Role.NONE),
        ("div", {"hidden": ""}, Role.HIDDEN),
        ("div", {"hidden": "until-found"}, Role.NONE),
        ("div", {"style": "color: red; display : NONE"}, Role.HIDDEN),
        ("div", {"style": "display:none", "class": "tab-pane"}, Role.NONE),
        ("div", {"role": "Navigation"}, Role.NAVIGATION),
        ("section", {"id": "comments"}, Role.NONE),
        ("section", {"id": "comments", "class": "x"}, Role.COMMENTS),
        ("h2", {"id": "menu"}, Role.NONE),
        ("product-recommendations", {}, Role.RELATED),
        ("div", {"itemtype": "https://schema.org/Answer"}, Role.POST),
        ("section", {"itemprop": "articleBody"}, Role.BODY),
    ],
)
def test_what_an_element_says(tag: str, attributes: dict[str, str], part: Role) -> None:
    assert Role(role(tag, attributes)) == part
