"""Docstrings as HTML: reStructuredText, numpydoc, Google style and Markdown fences.

Docstrings follow no grammar strictly, and mix the four. This renderer knows the
blocks that occur in them and treats everything else as a paragraph; it never
fails and never drops text. docutils takes some 40 times as long and turns what
it does not like into error boxes; griffe finds sections and leaves their text,
which is most of it, as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from html import escape

from llm.pydocs.docstring_inline import inline_html
from llm.pydocs.docstring_lines import (
    NUMBER,
    TABLE,
    UNDERLINE,
    block_end,
    dedent,
    indent,
    pre,
    section_level,
    special,
)
from llm.pydocs.docstring_lists import definition, fields, google, items, numpy_list

_DEEPEST = 20  # levels of nesting; what is deeper is shown as it stands
_DIRECTIVE = re.compile(r"^\.\.\s+([\w:-]+?)::\s*(.*)$")
_CITATION = re.compile(r"^\.\.\s+\[([^\]]+)\]\s*(.*)$")
_FENCE = re.compile(r"^(`{3,}|~{3,})\s*+([\w{}+-]*)\s*$")
_OPTION = re.compile(r"^:[\w-]+:")
_LINK_TARGET = re.compile(r"^\.\. _[^:]+:")
_NUMPY_LISTS = frozenset(
    {"Parameters", "Returns", "Yields", "Receives", "Other Parameters", "Raises", "Warns"}
    | {"Attributes", "Methods", "See Also", "Keyword Arguments"}
)
_CODE_DIRECTIVES = frozenset(
    {"code", "code-block", "sourcecode", "testcode", "doctest", "ipython", "math", "parsed-literal"}
    | {"plot", "jupyter-execute", "testoutput"}
)
_VERSION_NOTES = {
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version",
    "versionremoved": "Removed in version",
}


def docstring_html(text: str) -> str:
    """HTML of a dedented docstring (`inspect.cleandoc`), as a sequence of block elements."""
    return "\n".join(_blocks(text.expandtabs().split("\n"), 0))


def _blocks(lines: list[str], depth: int) -> list[str]:
    """Block elements of dedented lines."""
    if depth > _DEEPEST:
        return [pre(lines)]
    out: list[str] = []
    position = 0
    while position < len(lines):
        if not lines[position].strip():
            position += 1
            continue
        for rule in _RULES:
            taken = rule(lines, position, depth, out)
            if taken:
                position += taken
                break
    return [block for block in out if block]


def _heading(lines: list[str], at: int, depth: int, out: list[str]) -> int:
    """A title with a line under it (and perhaps above): numpydoc and reST sections."""
    over = bool(UNDERLINE.match(lines[at])) and at + 2 < len(lines)
    title_at = at + 1 if over else at
    if title_at + 1 >= len(lines) or not UNDERLINE.match(lines[title_at + 1].strip() or " "):
        return 0
    title = lines[title_at].strip()
    if not title or len(lines[title_at + 1].strip()) < min(3, len(title)) or len(title) > 100:
        return 0
    tag = section_level(depth)
    out.append(f"<{tag}>{inline_html(title)}</{tag}>")
    taken = title_at + 2 - at
    if title in _NUMPY_LISTS:
        taken += numpy_list(lines, at + taken, out, depth, _blocks)
    return taken


def _doctest(lines: list[str], at: int, depth: int, out: list[str]) -> int:
    """An interactive session: up to a blank line that no prompt follows."""
    if not lines[at].lstrip().startswith((">>> ", "In [")):
        return 0
    end = at
    while end < len(lines):
        if lines[end].strip():
            end += 1
            continue
        following = next((i for i in range(end, len(lines)) if lines[i].strip()), len(lines))
        if following == len(lines) or not lines[following].lstrip().startswith((">>>", "In [")):
            break
        end = following
    out.append(pre(lines[at:end]))
    return end - at


def _fence(lines: list[str], at: int, depth: int, out: list[str]) -> int:
    """A Markdown code fence."""
    match = _FENCE.match(lines[at].strip())
    if match is None:
        return 0
    end = at + 1
    while end < len(lines) and not lines[end].strip().startswith(match.group(1)):
        end += 1
    out.append(pre(lines[at + 1 : end]))
    return min(end + 1, len(lines)) - at


def _directive(lines: list[str], at: int, depth: int, out: list[str]) -> int:
    """`.. name:: argument` with its indented block, citations, and reST comments."""
    if not lines[at].startswith(".. "):
        return 0
    end = block_end(lines, at + 1, 1)
    body = dedent(lines[at + 1 : end])
    citation = _CITATION.match(lines[at])
    match = _DIRECTIVE.match(lines[at])
    if citation:
        label, first = citation.groups()
        out.append(f"<p>[{escape(label)}] {inline_html(' '.join([first, *body]).strip())}</p>")
    elif match:
        name, argument = match.groups()
        while body and _OPTION.match(body[0]):
            body = body[1:]  # options of the directive
        if name.rpartition(":")[2] in _CODE_DIRECTIVES:
            shown = [] if name.startswith(("code", "source", "plot", "ipython")) else [argument]
            out.append(pre([line for line in shown if line] + dedent(body)))
        elif name in _VERSION_NOTES:
            lead = f"{_VERSION_NOTES[name]} {argument}"
            out.extend(_blocks([lead + (":" if any(body) else ""), *body], depth + 1))
        else:
            title = name.replace("-", " ").capitalize()
            lead = f"<p><strong>{escape(title)}</strong></p>"
            out.append(lead if name != "rubric" else "")
            out.extend(_blocks([argument, *body], depth + 1))
    elif _LINK_TARGET.match(lines[at]):
        return 1  # a target for links: nothing to read
    else:
        out.extend(_blocks([lines[at][3:], *body], depth + 1))
    return max(end - at, 1)


def _table(lines: list[str], at: int, depth: int, out: list[str]) -> int:
    """A reST or Markdown table, kept as it is aligned; it ends at a blank line behind a border."""
    if not TABLE.match(lines[at].strip()):
        return 0
    end, simple = at + 1, lines[at].lstrip().startswith("=")
    while end < len(lines):
        if not lines[end].strip() and not (
            # A simple table may hold blank lines as long as its last border is still to come.
            simple and any(TABLE.match(line.strip()) for line in lines[end + 1 : end + 3])
        ):
            break
        end += 1
    out.append(pre(lines[at:end]))
    return end - at


def _add_indented(lines: list[str], at: int, depth: int, out: list[str]) -> int:
    """A block further in than its surroundings: quoted text, or code left unmarked."""
    if not indent(lines[at]):
        return 0
    end = block_end(lines, at, 1)
    out.append("<blockquote>")
    out.extend(_blocks(dedent(lines[at:end]), depth + 1))
    out.append("</blockquote>")
    return end - at


def _paragraph(lines: list[str], at: int, depth: int, out: list[str]) -> int:
    """Whatever is left; `::` at its end makes the following indented block literal."""
    end = at + 1
    while end < len(lines) and lines[end].strip() and indent(lines[end]) < 4:
        underlined = end + 1 < len(lines) and bool(UNDERLINE.match(lines[end + 1]))
        if underlined or (special(lines[end]) and not NUMBER.match(lines[end])):
            break
        end += 1
    text = "\n".join(line.strip() for line in lines[at:end])
    if not text.endswith("::"):
        out.append(f"<p>{inline_html(text)}</p>")
        return end - at
    lead = text[:-2].rstrip() + ("" if text[:-2].endswith((" ", "\n")) or text == "::" else ":")
    out.append(f"<p>{inline_html(lead)}</p>" if lead else "")
    close = block_end(lines, end, 1)
    out.append(pre(lines[end:close]))
    return close - at


_Rule = Callable[[list[str], int, int, list[str]], int]
_RULES: tuple[_Rule, ...] = (
    _fence,
    _doctest,
    _heading,
    _directive,
    partial(google, blocks=_blocks),
    partial(fields, blocks=_blocks),
    _table,
    partial(items, blocks=_blocks),
    _add_indented,
    partial(definition, blocks=_blocks),
    _paragraph,
)
