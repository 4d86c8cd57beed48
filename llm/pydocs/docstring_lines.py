"""Lines of a docstring: indentation, and what begins a block of its own."""

from __future__ import annotations

import re
from html import escape

UNDERLINE = re.compile(r"^([=\-~^*#+\"'])\1{2,}\s*$")
TABLE = re.compile(r"^(?:=+(?: +=+)+|\+[-=]+(?:\+[-=]+)*\+|\|.+\|)\s*$")
BULLET = re.compile(r"^([-*+•])\s+(?=\S)")
NUMBER = re.compile(r"^\(?\d{1,3}[.)]\s+(?=\S)")
# A name of any length could end at any of its spaces, and each be tried.
FIELD = re.compile(r"^:([a-zA-Z][\w ]{0,63}?)(?:\s++([^:`]+))?:(?!`)\s*(.*)$")


def indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def block_end(lines: list[str], start: int, margin: int) -> int:
    """First line from `start` on that is neither blank nor indented by `margin` or more."""
    end = last = start
    while end < len(lines):
        if lines[end].strip():
            if indent(lines[end]) < margin:
                break
            last = end + 1
        end += 1
    return last


def dedent(lines: list[str]) -> list[str]:
    margin = min((indent(line) for line in lines if line.strip()), default=0)
    return [line[margin:] for line in lines]


def pre(lines: list[str]) -> str:
    code = "\n".join(line.rstrip() for line in dedent(lines)).strip("\n")
    return f"<pre>{escape(code, quote=False)}</pre>" if code else ""


def section_level(depth: int) -> str:
    return "h4" if depth == 0 else "h5"


def special(line: str) -> bool:
    """Whether a line begins a block of its own even without a blank line before it."""
    starts = (">>> ", ".. ", "```")
    return line.startswith(starts) or any(p.match(line) for p in (FIELD, BULLET, NUMBER, TABLE))
