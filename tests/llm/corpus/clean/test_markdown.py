"""A page's structure in Markdown and in text, against what was written out by hand."""

from __future__ import annotations

import pytest

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.normalise import normalise
from llm.corpus.clean.outcome import Extraction

PROSE = "<p>It is known to all the people who ever read about it, and it is all true.</p>"
PAGE = f"""<html><head><title>T</title></head><body><nav><a href=x>Home</a></nav><main><h1>Title
<a class=headerlink href=#t>¶</a></h1>{PROSE}
<p>Run <code>f(<code>x</code>)</code><code></code>, in 10<sup>6</sup> steps of
H<sub>2</sub>O, for the 2<sup>nd</sup> time at x<sup>-12</sup>.<br>Second line.</p>
<ul><li>One</li><li>Two<ul><li>nested</li><li><p>first</p><p>second</p></li></ul></li></ul>
<ol start=3><li>third</li><li>fourth</li></ol>
<blockquote><p>Quoted words</p><p>More</p></blockquote>
<div class="highlight-python notranslate"><pre><span class="linenos">1</span>def f():


<span class="linenos">2</span>    return `1`
</pre></div>
<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>1</td><td>a|b</td></tr>
<tr><td><ul><li>x</li><li>y</li></ul></td><td>3</td></tr></tbody></table>
<p>With <script type="math/tex">a&lt;b</script> <img class=latex alt="\\alpha"> end of it.</p>
<pre><code class="hljs language-js"><table>
<tr><td class="hljs-ln-numbers">1</td><td>let a;</td></tr>
<tr><td class="hljs-ln-numbers"></td><td></td></tr>
<tr><td class="hljs-ln-numbers">2</td><td>let b;</td></tr></table></code></pre>
<dl><dt>term</dt><dd>what it means</dd></dl>
</main><footer>foot</footer></body></html>"""

MARKDOWN = r"""# Title

It is known to all the people who ever read about it, and it is all true.

Run `f(x)`, in 10^6 steps of H_2O, for the 2nd time at x^{-12}.
Second line.

- One
- Two
  - nested
  - first

    second

3. third
4. fourth

> Quoted words
>
> More

```python
def f():


    return `1`
```

| A | B |
| --- | --- |
| 1 | a\|b |
| x y | 3 |

With $a<b$ $\alpha$ end of it.

```js
let a;

let b;
```

term
what it means"""


def _text(markup: str, form: str) -> str:
    made = extract(markup, None, Extraction("auto", 1.4, False, form), 10_000, 256)
    return normalise(made.text, blank_lines=True)


def test_structure_is_marked_in_markdown() -> None:
    assert _text(PAGE.replace("a&lt;b", "a<b"), "markdown") == MARKDOWN


def test_text_has_the_same_lines_without_marks() -> None:
    plain = MARKDOWN.replace("# Title", "Title").replace("Run `f(x)`", "Run f(x)")
    plain = plain.replace("```python\n", "").replace("```js\n", "").replace("\n```", "")
    plain = plain.replace("> Quoted words\n>\n> More", "Quoted words\n\nMore")
    plain = plain.replace("| --- | --- |\n", "").replace("| A | B |", "A\tB")
    plain = plain.replace("| 1 | a\\|b |", "1\ta|b").replace("| x y | 3 |", "x y\t3")
    assert _text(PAGE.replace("a&lt;b", "a<b"), "text") == plain


@pytest.mark.parametrize(
    ("markup", "fence"),
    [
        ('<pre class="brush: java">x', "```java"),
        ('<pre data-lang="C++">x', "```c++"),
        ('<div class="highlight-source-rust"><pre>x</pre></div>', "```rust"),
        ('<pre><pre class=playground><code class="language-rust ignore">x</code></pre></pre>',
         "```rust"),
        ('<pre><code class="language-plaintext">x</code></pre>', "```"),
        ("<pre>a\n```\nb</pre>", "````"),
        ("<pre>x</pre>", "```"),
    ],
)  # fmt: skip
def test_fences_name_the_language_and_hold_fences(markup: str, fence: str) -> None:
    lines = _text(f"<main>{PROSE * 4}{markup}</pre>{PROSE * 4}</main>", "markdown").split("\n")
    fences = [line for line in lines if line.startswith(fence[:3]) and line.strip("`") != "b"]
    assert fences[0] == fence
    assert fences[-1] == "`" * fence.count("`")


def test_a_table_that_lays_out_a_page_is_none() -> None:
    page = f"<table><tr><td><h2>Left</h2>{PROSE * 3}</td><td><pre>a\nb</pre></td></tr></table>"
    text = _text(f"<main>{page}</main>", "markdown")
    assert text.startswith("## Left\n\nIt is known")
    assert text.endswith("```\na\nb\n```")


def test_cells_of_listings_keep_their_lines() -> None:
    rows = "".join(f"<tr><td>{n}</td><td><pre>f({n})\ng({n})</pre></td></tr>" for n in range(3))
    text = _text(f"<main>{PROSE * 4}<table>{rows}</table></main>", "markdown")
    assert "| 1 | `f(1)`<br>`g(1)` |" in text
