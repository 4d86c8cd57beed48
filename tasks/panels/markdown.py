"""Panels as Markdown, for the artifacts in Prefect's UI."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import singledispatch

from tasks.panels.numbers import cell, number
from tasks.panels.panels import Curve, Flow, Graph, Histogram, Panel, Samples, Table

_ROWS = 200
_BAR = 24
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARK_LENGTH = 20  # wider tables run into the margin of Prefect's pages
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SAMPLES = 20
_SAMPLE_CHARACTERS = 800
# What Markdown gives a meaning to inside a line, and what would start HTML.
_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$#]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
# Mermaid's own escapes: a label lies in quotes, where these would end or change it.
_MERMAID = {ord(c): f"#{ord(c)};" for c in '"#`<>&\\'} | {ord("\n"): "<br/>", ord("\r"): ""}


@singledispatch
def _body(panel: Panel) -> str:
    raise TypeError(f"{type(panel).__name__} is no panel; see tasks/panels/panels.py")


def markdown(panel: Panel, drawn_at: str | None = None) -> str:
    """A panel under a heading of the third level, its note last.

    Args:
        drawn_at: address of its picture, shown above its figures.

    Raises:
        TypeError: it is of no class in `tasks/panels/panels.py`.
    """
    body = _body(panel)
    shown = f"![{inline(panel.title)}]({drawn_at})" if drawn_at else ""
    parts = [f"### {inline(panel.title)}", shown, body]
    if panel.note:
        parts.append(f"*{inline(panel.note)}*")
    return "\n\n".join(part for part in parts if part)


def inline(text: str) -> str:
    """Text in which nothing has a meaning to Markdown or HTML, on one line."""
    text = _CONTROL.sub("\ufffd", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(r"\\\g<0>", text)
    return " ⏎ ".join(line.strip() for line in text.strip().splitlines())


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A pipe table of cells that are escaped already."""
    lines = ["| " + " | ".join(header) + " |"]
    lines.append("|" + "|".join(" ---: " if side else " --- " for side in right) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


@_body.register
def _table(panel: Table) -> str:
    if not panel.rows:
        return "(no rows)"
    right = [
        all(isinstance(row[index], (int, float, type(None))) for row in panel.rows)
        for index in range(len(panel.columns))
    ]
    rows = [[inline(cell(value)) for value in row] for row in panel.rows[:_ROWS]]
    text = _rows([inline(name) for name in panel.columns], rows, right)
    left = len(panel.rows) - _ROWS
    return text + (f"\n\n({number(left)} more rows)" if left > 0 else "")


@_body.register
def _curve(panel: Curve) -> str:
    rows = []
    for name, points in panel.series.items():
        known = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        if not known:
            rows.append([inline(name), "(no points)", "", "", "", "", ""])
            continue
        ys = [y for _, y in known]
        (first_x, first), (last_x, last) = known[0], known[-1]
        rows.append(
            [
                inline(name),
                sparkline(ys, panel.log_y),
                f"{number(first_x)} … {number(last_x)}",
                *(number(y) for y in (first, min(ys), max(ys), last)),
            ]
        )
    if not rows:
        return "(no series)"
    header = [
        "",
        inline(panel.y_label),
        inline(panel.x_label),
        "first",
        "lowest",
        "highest",
        "last",
    ]
    return _rows(header, rows, [False, False, False, True, True, True, True])


def sparkline(values: Sequence[float], log: bool) -> str:
    """At most 20 bars; each stands for the mean of as many neighbouring values."""
    if log:
        values = [math.log(value) for value in values if value > 0]
    count = min(len(values), _SPARK_LENGTH)
    means = []
    for index in range(count):
        group = values[index * len(values) // count : (index + 1) * len(values) // count]
        means.append(sum(group) / len(group))
    if not means:
        return ""
    low, high = min(means), max(means)
    if high == low:
        return _SPARKS[3] * count
    steps = [(mean - low) / (high - low) * len(_SPARKS) for mean in means]
    return "".join(_SPARKS[min(int(step), len(_SPARKS) - 1)] for step in steps)


@_body.register
def _histogram(panel: Histogram) -> str:
    top = max((value for counts in panel.counts.values() for value in counts), default=0)
    header, right = [inline(panel.x_label)], [True]
    for name in panel.counts:
        header += [inline(name), ""]
        right += [True, False]
    rows = []
    for index, (low, high) in enumerate(zip(panel.edges, panel.edges[1:], strict=False)):
        row = [f"{number(low)} – {number(high)}"]
        for counts in panel.counts.values():
            row += [number(counts[index]), bar(counts[index] / top if top > 0 else 0.0)]
        rows.append(row)
    return _rows(header, rows, right)


def bar(share: float) -> str:
    """A bar of up to 24 characters, to the eighth of one; what is not zero is never invisible."""
    eighths = round(share * _BAR * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


@_body.register
def _samples(panel: Samples) -> str:
    if not panel.items:
        return "(none)"
    blocks = []
    for item in panel.items[:_SAMPLES]:
        facts = ", ".join(
            f"{inline(name)}: {inline(cell(value))}" for name, value in item.facts.items()
        )
        blocks.append(
            f"**{inline(item.heading) or '(no heading)'}**" + (f" ({facts})" * bool(facts))
        )
        blocks.append(_quote(item.text))
    left = len(panel.items) - _SAMPLES
    return "\n\n".join(blocks) + (f"\n\n({number(left)} more)" if left > 0 else "")


def _quote(text: str) -> str:
    """A quote with a fenced block that no run of backticks in the text can close."""
    cut = text[:_SAMPLE_CHARACTERS]
    longest = max((len(run) for run in re.findall(r"`+", cut)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = _CONTROL.sub("\ufffd", cut).splitlines() or ["(empty)"]
    quoted = [f"> {fence}text", *(f"> {line}" for line in lines), f"> {fence}"]
    left = len(text) - len(cut)
    return "\n".join(quoted) + (f"\n>\n> ({number(left)} characters more)" if left else "")


@_body.register
def _graph(panel: Graph) -> str:
    ends = [end for source, target, _ in panel.edges for end in (source, target)]
    ids = {node: f"n{index}" for index, node in enumerate(dict.fromkeys([*panel.nodes, *ends]))}
    lines = ["```mermaid", "graph TD"]
    for node, name in ids.items():
        label = _CONTROL.sub("\ufffd", panel.nodes.get(node, node)).translate(_MERMAID)
        lines.append(f'  {name}["{label or " "}"]')
    for source, target, text in panel.edges:
        label = _CONTROL.sub("\ufffd", text).translate(_MERMAID)
        lines.append(f"  {ids[source]} -->" + (f'|"{label}"| ' if label else " ") + ids[target])
    return "\n".join([*lines, "```"])


@_body.register
def _flow(panel: Flow) -> str:
    if not panel.streams:
        return "(nothing flows)"
    rows = [
        [*map(inline, (each.source, each.target)), number(each.count), inline(each.kind),
         inline(each.words)]
        for each in panel.streams
    ]  # fmt: skip
    header = ["from", "to", inline(panel.unit), "", ""]
    return _rows(header, rows, [False, False, True, False, False])
