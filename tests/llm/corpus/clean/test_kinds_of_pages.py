"""Pages of many kinds, as the systems that make them write them, and what of each is content.

In the pages of `pages_by_kind` a text behind [+] is content and one behind [-] is not; what has
no mark, or stands behind [.], may go either way (a title, a caption).
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.outcome import Extraction

PAGES = sorted((Path(__file__).parent / "pages_by_kind").glob("*.html"))
MARK = re.compile(r"\[([+-])\]([^<\[]+)")


def _texts(markup: str, sign: str) -> list[str]:
    return [
        " ".join(html.unescape(text).split())
        for found, text in MARK.findall(markup)
        if found == sign
    ]


@pytest.mark.parametrize("form", ["text", "markdown"])
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_content_is_kept_and_the_rest_is_not(path: Path, form: str) -> None:
    marked = path.read_text()
    markup = re.sub(r"\[[+.-]\]", "", marked)
    made = extract(markup, None, Extraction("auto", 1.4, False, form), 100_000, 256)
    text = " ".join(made.text.replace("\\", "").split())
    found = made.found
    assert found.page_type == path.stem.partition("_")[0] or found.page_type == "other"
    assert [t for t in _texts(marked, "+") if t not in text] == [], found
    assert [t for t in _texts(marked, "-") if t in text] == [], found
