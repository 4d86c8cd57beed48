"""Panels as Markdown: tables stay tables, quotes stay closed, whatever the text."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from tasks.panels.markdown import bar, inline, markdown, sparkline
from tasks.panels.panels import Curve, Graph, Histogram, Sample, Samples, Table

HOSTILE = "a|b `c` **d** _e_ <script>x</script> [f](g) &amp; \\| $h$"


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def test_a_cell_keeps_its_text_and_its_column() -> None:
    panel = Table("Title | `x`", ["one|two", "n"], [[HOSTILE, 1234567], ["two\nlines", None]])
    page = rendered(markdown(panel))
    assert page.count("<tr>") == 3
    assert page.count("<td") == 4
    assert "<script>" not in page
    assert "a|b `c` **d** _e_ &lt;script&gt;x&lt;/script&gt; [f](g) &amp;amp; \\| $h$" in page
    assert "two ⏎ lines" in page
    assert "1,234,567" in page
    assert 'style="text-align:right"' in page
    assert "<h3>Title | `x`</h3>" in page


def test_long_tables_are_cut_and_say_so() -> None:
    text = markdown(Table("Long", ["n"], [[n] for n in range(205)]))
    assert "| 199 |" in text
    assert "| 200 |" not in text
    assert "(5 more rows)" in text
    assert "(no rows)" in markdown(Table("None", ["n"], []))


@pytest.mark.parametrize("text", ["```\nbreak out\n```", "````` five", "\x00null\r\nline", ""])
def test_no_sample_leaves_its_quote(text: str) -> None:
    page = rendered(
        markdown(Samples("S", [Sample("why <b>", text + "\n# no heading", {"a|b": 1})]))
    )
    assert page.count("<blockquote>") == page.count("</blockquote>") == 1
    assert page.count("<pre>") == 1
    assert "<h1>" not in page
    assert "<b>" not in page
    assert "\x00" not in page


def test_samples_are_capped() -> None:
    items = [Sample("h", "x" * 1000, {}) for _ in range(25)]
    text = markdown(Samples("S", items))
    assert text.count("(200 characters more)") == 20
    assert "(5 more)" in text


def test_histogram_bars_are_in_proportion() -> None:
    text = markdown(Histogram("H", "score", [0, 0.5, 1.0], {"a": [50, 100], "b": [0, 1]}))
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| 0")]
    assert [row[0].strip() for row in rows] == ["0 – 0.5", "0.5 – 1"]
    assert [row[2].strip() for row in rows] == ["█" * 12, "█" * 24]
    assert [row[4].strip() for row in rows] == ["", "▎"], "one of a hundred is still seen"
    assert bar(0) == ""
    assert bar(1e-9) == "▏"


def test_curve_is_a_row_a_series() -> None:
    series = {"train": [(0, 4.0), (50, 1.5), (100, 2.0)], "none": [(0.0, float("nan"))]}
    text = markdown(Curve("C", "step", "loss", series))
    row = next(line for line in text.splitlines() if "train" in line)
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "train", "█▁▂", "0 … 100", "4", "1.5", "4", "2",
    ]  # fmt: skip
    assert "(no points)" in text
    assert len(sparkline(list(range(1000)), log=False)) == 20
    assert sparkline([5.0, 5.0], log=False) == "▄▄"
    assert sparkline([1, 10, 100], log=True) == "▁▅█"


def test_graph_labels_cannot_end_the_diagram() -> None:
    nodes = {"a b": 'say "hi"\n```', "c": ""}
    text = markdown(Graph("G", nodes, [("a b", "c", 'x|"y'), ("c", "end", "")]))
    body = text.split("```mermaid\n")[1].removesuffix("\n```")
    assert body.splitlines() == [
        "graph TD",
        '  n0["say #34;hi#34;<br/>#96;#96;#96;"]',
        '  n1[" "]',
        '  n2["end"]',
        '  n0 -->|"x|#34;y"| n1',
        "  n1 --> n2",
    ]


def test_inline_is_one_line_and_what_is_no_panel_is_refused() -> None:
    assert inline("  a\r\n b\u2028c ") == "a ⏎ b ⏎ c"
    with pytest.raises(TypeError, match="str is no panel"):
        markdown("text")  # type: ignore[arg-type]
