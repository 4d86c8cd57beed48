import re
import time
from inspect import cleandoc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html

from llm.pydocs.docstring_html import docstring_html
from llm.pydocs.docstring_inline import inline_html


def tags(text: str) -> list[tuple[str, str]]:
    """(tag, words) of the elements that hold text, in order."""
    tree = lxml_html.fromstring(f"<div>{docstring_html(cleandoc(text))}</div>")
    wanted = {"p", "h4", "h5", "pre", "li", "dt"}
    return [(e.tag, e.text_content().strip()) for e in tree.iter() if e.tag in wanted]


def test_numpydoc() -> None:
    found = tags(
        """
        Return the norm.

        Parameters
        ----------
        x : array_like
            Input array. If `axis` is None,
            it must be 1-D.
        ord : {int, 'fro'}, optional

        Returns
        -------
        n : float
            The norm.

        Examples
        --------
        >>> norm([3, 4])
        5.0

        >>> norm([1], 1)
        1.0
        """
    )
    assert found == [
        ("p", "Return the norm."),
        ("h4", "Parameters"),
        ("dt", "x : array_like"),
        ("p", "Input array. If axis is None,\nit must be 1-D."),
        ("dt", "ord : {int, 'fro'}, optional"),
        ("h4", "Returns"),
        ("dt", "n : float"),
        ("p", "The norm."),
        ("h4", "Examples"),
        ("pre", ">>> norm([3, 4])\n5.0\n\n>>> norm([1], 1)\n1.0"),
    ]


def test_google_style() -> None:
    found = tags(
        """Fetch rows.

        Args:
            keys (list[str]): which rows,
                by key.
            strict: whether to raise.

        Returns:
            A dict: of rows.

        Example::

            fetch(["a"])
        """
    )
    assert found == [
        ("p", "Fetch rows."),
        ("h4", "Args"),
        ("dt", "keys (list[str])"),
        ("p", "which rows,\nby key."),
        ("dt", "strict"),
        ("p", "whether to raise."),
        ("h4", "Returns"),
        ("dt", "A dict"),
        ("p", "of rows."),
        ("h4", "Example"),
        ("pre", 'fetch(["a"])'),
    ]


def test_restructured_text() -> None:
    found = tags(
        """
        Use it like this::

            a = 1
              b = 2

        .. versionadded:: 1.4
        .. note::
           Mind the *gap*.

        .. code-block:: python
           :linenos:

           run()

        - one
          more
        - two

        :param int x: the x
        :raises ValueError: when not

        1. first
        2. second

        ===  ====
        a    b
        ===  ====
        1    2
        ===  ====
        """
    )
    assert found == [
        ("p", "Use it like this:"),
        ("pre", "a = 1\n  b = 2"),
        ("p", "Added in version 1.4"),
        ("p", "Note"),
        ("p", "Mind the gap."),
        ("pre", "run()"),
        ("li", "one\nmore"),
        ("li", "two"),
        ("li", "int x: the x"),
        ("li", "raises ValueError: when not"),
        ("li", "first"),
        ("li", "second"),
        ("pre", "===  ====\na    b\n===  ====\n1    2\n===  ===="),
    ]


def test_markdown_fence_and_definitions() -> None:
    assert tags("```python\nx = [1]\n```") == [("pre", "x = [1]")]
    assert tags("width (default: 70)\n  the maximum width\nheight\n  of it") == [
        ("dt", "width (default: 70)"),
        ("p", "the maximum width"),
        ("dt", "height"),
        ("p", "of it"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("``x**2`` and *so* **on**", "<code>x**2</code> and <em>so</em> <strong>on</strong>"),
        (":func:`~numpy.linalg.norm`", "<code>norm</code>"),
        (":class:`the thing <a.B>`", "<code>the thing</code>"),
        ("`x` of `X`_", "<code>x</code> of X"),
        ("`Docs <https://x.org/?a&b>`_", '<a href="https://x.org/?a&amp;b">Docs</a>'),
        ("[Docs](https://x.org)", '<a href="https://x.org">Docs</a>'),
        ("f(*args, **kwargs)", "f(*args, **kwargs)"),
        ("2 * 3 * 4", "2 * 3 * 4"),
    ],
)
def test_inline(text: str, expected: str) -> None:
    assert inline_html(text) == expected


PIECES = ("word", "Args:", "x: y", "x : int", "---", "====", ">>> a", "- a", "1. b", "::", "")
PIECES += (".. note::", ".. [1] c", "```", ":param x: y", "`q`", "*", "**z**", "Parameters")
PIECES += ("&lt;", "+--+", "Example::", "def f():")
MARKS = st.lists(
    st.builds(lambda text, depth: " " * depth + text, st.sampled_from(PIECES), st.integers(0, 6)),
    max_size=14,
)


@given(MARKS)
def test_no_word_is_lost_and_nothing_fails(lines: list[str]) -> None:
    rendered = docstring_html(cleandoc("\n".join(lines)))
    text = lxml_html.fromstring(f"<div>{rendered}</div>").text_content()
    for word, times in ((w, sum(line.count(w) for line in lines)) for w in ("word", "z", "q")):
        assert len(re.findall(word, text)) == times


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(" " * i + "x" for i in range(2000)),
        "- " * 3000 + "x",
        "**" * 5000,
        "x (" * 5000 + ": y",
        "`" * 9999,
        ".. " * 3000,
    ],
)
def test_hostile_docstrings_take_no_time(text: str) -> None:
    started = time.perf_counter()
    docstring_html(text)
    assert time.perf_counter() - started < 3
