"""Lists in docstrings: bullets, fields, definitions, and the parameter lists of both styles.

Every function takes the lines, the index to begin at, the depth of nesting, the list of HTML
blocks to add to, and the function that renders what is nested; it returns how many lines it
took, 0 when there is no such list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from llm.pydocs.docstring_inline import inline_html
from llm.pydocs.docstring_lines import (
    BULLET,
    FIELD,
    NUMBER,
    UNDERLINE,
    block_end,
    dedent,
    indent,
    pre,
    section_level,
    special,
)

Blocks = Callable[[list[str], int], list[str]]

_LONGEST_TERM = 500  # characters of a line that may be an entry of a list
_GOOGLE = re.compile(
    r"^(Args?|Arguments|Parameters|Params|Returns?|Yields?|Raises|Examples?|Notes?|Attributes|"
    r"Keyword Args|Keyword Arguments|Other Parameters|References|See Also|Todo|Warnings?|"
    r"Warns|Shape|Usage|Inputs?|Outputs?|Methods|Tips?|Example usage)\s*:{1,2}\s*$"
)
_TERM = re.compile(
    r"^(\*{0,2}`{0,2}[\w.\[\], ]++`{0,2}(?:\s*\([^()]*(?:\([^()]*\)[^()]*)*\))?):\s+(\S.*)$"
)
_TERM_SECTIONS = frozenset(
    {"Arg", "Args", "Arguments", "Parameters", "Params", "Raises", "Attributes", "Returns"}
    | {"Return", "Yields", "Yield", "Keyword Args", "Keyword Arguments", "Other Parameters"}
    | {"Inputs", "Input", "Outputs", "Output", "Shape", "Methods", "Warns"}
)


def numpy_list(lines: list[str], start: int, out: list[str], depth: int, blocks: Blocks) -> int:
    """`name : type` lines with indented descriptions, up to the next section."""
    end = start
    while end < len(lines):
        following = lines[end + 1].strip() if end + 1 < len(lines) else ""
        if lines[end].strip() and UNDERLINE.match(following):
            break
        if lines[end].startswith((".. ", ">>>")):
            break
        end += 1
    body = lines[start:end]
    margin = min((indent(line) for line in body if line.strip()), default=0)
    if not any(indent(line) > margin for line in body if line.strip()):
        return 0
    found: list[str] = []
    position = 0
    while position < len(body):
        line = body[position]
        if not line.strip():
            position += 1
            continue
        close = block_end(body, position + 1, margin + 1)
        found.append(f"<dt>{inline_html(line.strip())}</dt>")
        if close > position + 1:
            inner = "\n".join(blocks(dedent(body[position + 1 : close]), depth + 1))
            found.append(f"<dd>{inner}</dd>")
        position = max(close, position + 1)
    out.append("<dl>\n" + "\n".join(found) + "\n</dl>")
    return end - start


def google(lines: list[str], at: int, depth: int, out: list[str], blocks: Blocks) -> int:
    """`Args:` and its indented block."""
    match = _GOOGLE.match(lines[at])
    following = next((line for line in lines[at + 1 :] if line.strip()), "")
    if match is None or indent(following) <= indent(lines[at]):
        return 0
    title = match.group(1)
    tag = section_level(depth)
    out.append(f"<{tag}>{escape(title)}</{tag}>")
    end = block_end(lines, at + 1, indent(lines[at]) + 1)
    body = dedent(lines[at + 1 : end])
    if lines[at].rstrip().endswith("::") and title.startswith(("Example", "Usage")):
        out.append(pre(body))
    elif title in _TERM_SECTIONS:
        out.extend(_terms(body, depth + 1, blocks))
    else:
        out.extend(blocks(body, depth + 1))
    return end - at


def _terms(lines: list[str], depth: int, blocks: Blocks) -> list[str]:
    """`name (type): description` entries; lines that are none are ordinary blocks."""
    out: list[str] = []
    found: list[str] = []
    position = 0

    def flush() -> None:
        if found:
            out.append("<dl>\n" + "\n".join(found) + "\n</dl>")
            found.clear()

    while position < len(lines):
        line = lines[position]
        match = _TERM.match(line[:_LONGEST_TERM]) if line.strip() else None
        if match is None:
            end = position + 1
            while end < len(lines) and not _TERM.match(lines[end][:_LONGEST_TERM]):
                end += 1
            if any(part.strip() for part in lines[position:end]):
                flush()
                out.extend(blocks(lines[position:end], depth))
            position = end
            continue
        end = block_end(lines, position + 1, 1)
        rest = dedent(lines[position + 1 : end])
        inner = "\n".join(blocks([line[match.start(2) :], *rest], depth))
        found.append(f"<dt>{inline_html(match.group(1))}</dt>\n<dd>{inner}</dd>")
        position = max(end, position + 1)
    flush()
    return out


def definition(lines: list[str], at: int, depth: int, out: list[str], blocks: Blocks) -> int:
    """A term on one line, its explanation indented under it without a blank line between."""
    found: list[str] = []
    position = at
    while position + 1 < len(lines) and lines[position].strip() and not indent(lines[position]):
        if not lines[position + 1].strip() or indent(lines[position + 1]) < 2:
            break
        if lines[position].rstrip().endswith("::") or special(lines[position]):
            break
        end = block_end(lines, position + 1, 1)
        inner = "\n".join(blocks(dedent(lines[position + 1 : end]), depth + 1))
        found.append(f"<dt>{inline_html(lines[position].strip())}</dt>\n<dd>{inner}</dd>")
        position = end
        while position < len(lines) and not lines[position].strip():
            position += 1
    if found:
        out.append("<dl>\n" + "\n".join(found) + "\n</dl>")
    return position - at


def fields(lines: list[str], at: int, depth: int, out: list[str], blocks: Blocks) -> int:
    """`:param x: …` lists."""
    found: list[str] = []
    position = at
    while position < len(lines) and (match := FIELD.match(lines[position])):
        end = position + 1
        while end < len(lines) and lines[end].strip() and indent(lines[end]) > 0:
            end += 1
        kind, name, first = match.groups()
        words = [first, *dedent(lines[position + 1 : end])]
        inner = "\n".join(blocks(words, depth + 1)).removeprefix("<p>").removesuffix("</p>")
        plain = kind in ("param", "parameter", "arg", "argument", "key", "keyword", "ivar", "var")
        label = name if plain and name else " ".join(filter(None, (kind, name)))
        found.append(f"<li><strong>{escape(label)}</strong>: {inner}</li>")
        position = end
        if position + 1 < len(lines) and not lines[position].strip():
            position += 1 if FIELD.match(lines[position + 1]) else 0
    if found:
        out.append("<ul>\n" + "\n".join(found) + "\n</ul>")
    return position - at


def items(lines: list[str], at: int, depth: int, out: list[str], blocks: Blocks) -> int:
    """Bullet and numbered lists; continuation lines are indented."""
    marker = BULLET if BULLET.match(lines[at]) else NUMBER
    found: list[str] = []
    position = at
    while position < len(lines) and (match := marker.match(lines[position])):
        end = block_end(lines, position + 1, 1)
        words = [lines[position][match.end() :], *dedent(lines[position + 1 : end])]
        inner = "\n".join(blocks(words, depth + 1))
        if inner.count("<p>") == 1:
            inner = inner.replace("<p>", "", 1).replace("</p>", "", 1)
        found.append(f"<li>{inner}</li>")
        position = max(end, position + 1)
        following = next((i for i in range(position, len(lines)) if lines[i].strip()), len(lines))
        if following < len(lines) and marker.match(lines[following]):
            position = following
    if not found:
        return 0
    tag = "ul" if marker is BULLET else "ol"
    out.append(f"<{tag}>\n" + "\n".join(found) + f"\n</{tag}>")
    return position - at
