"""Markup made to be slow takes the default engine time in proportion to its length."""

from __future__ import annotations

import contextlib
import gc
import time

import pytest

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.markup_events import TooDeepError, TooManyNodesError
from llm.corpus.clean.outcome import Extraction

UNITS = [
    *("<div>", "<div>x</div>", "<p>some words of it", "<b><p>x", "</div>", "<a href=x>y", "<br>"),
    *(
        "<h1>x</h1>",
        "<div class=comment><h1>x</h1></div>",
        "<div class='nav entry-content'>x</div>",
    ),
    *("<article class=post>x</article>", "<article class=post>", "<header><h1>x</h1></header>"),
    *("<li>x", "<ul><li>x", "<ol><li>x</ol>", "<table><tr><td>x", "<tr><td>x<td>y", "<pre>x\n"),
    *("<figure><figcaption>x", "<figcaption>x</figcaption>", "<sub>1", "x<sup>2</sup>", "<code>x"),
    *(
        "<math><mi>x",
        "<script type=math/tex>x</script>",
        "<img class=latex alt=x>",
        "<blockquote>x",
    ),
    "<span class=mwe-math-element><img class=mwe-math-fallback-image-inline alt=x>",
    "<img class=mwe-math-fallback-image-inline alt=x>",
    *(
        "<span hidden>",
        "<svg><path>",
        "<template>x",
        "<time itemprop=datePublished>x",
        "&amp;",
        "<",
    ),
    "<script type='application/ld+json'>[</script>",
    "<p>The same sentence stands here again, which is longer than eighty characters by a few.</p>",
]
SIZE = 2_000


def _seconds(markup: str, form: str) -> float:
    """Processor seconds of this thread, without collections of what other tests left behind."""
    gc.disable()
    try:
        start = time.thread_time()
        with contextlib.suppress(TooDeepError):
            extract(markup, None, Extraction("auto", 1.4, True, form), 10**6, 256)
        return time.thread_time() - start
    finally:
        gc.enable()


@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_length(unit: str) -> None:
    page = f"<body><div class=mwe-math-element>{unit * 10 * SIZE}"
    long = _seconds(page, "markdown")
    if long > 0.3:
        # Ten times as much, with room for the caches of the processor. A busy machine slows a
        # moment; what grows faster is slow each time.
        long = min(long, _seconds(page, "markdown"), _seconds(page, "markdown"))
        assert long < 40 * _seconds(f"<body>{unit * SIZE}", "markdown")


def test_a_list_of_json_in_json_is_no_error() -> None:
    data = "[" * 100_000 + "]" * 100_000
    page = f"<script type='application/ld+json'>{data}</script><p>Some words of the page."
    assert extract(page, None, Extraction("auto", 1.4, False, "text"), 100, 64).text


def test_limits_are_exact() -> None:
    how = Extraction("auto", 1.4, False, "text")
    page = "<html><body>" + "<div>" * 14 + "x" + "</div>" * 14
    assert extract(page, None, how, 16, 16).text == "x"
    with pytest.raises(TooDeepError, match="more than 15 deep"):
        extract(page, None, how, 16, 15)
    with pytest.raises(TooManyNodesError, match="more than 15 elements"):
        extract(page, None, how, 15, 16)
    with pytest.raises(TooDeepError):
        extract("<div>" * 100_000, None, how, 10**6, 256)
