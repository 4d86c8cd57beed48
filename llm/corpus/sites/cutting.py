"""Which of a page's repeated lines go.

That a line stands on many pages of a site does not make it chrome: so do `Examples`, `See also`,
`}`, `fn main() {` and the heads of tables, which give a page its structure. What goes is

* a *long* line, wherever it is: a notice, a bar of links, a sentence that every page has;
* where a page begins or ends with several repeated lines in a row, all of them (where the last of
  two stands by itself above the page's own text it may be a heading, and both stay);
* a list of links in the midst of a page: at least five items in a row, all of them repeated.

A table goes as a whole, where all its rows are repeated, or not at all. Listings stay: between
fences, indented, or where one line of a block looks like code. So do headings that Markdown marks
as such, but for those at the very end of a page, where nothing is left below them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from llm.corpus.sites.repeated import line_of

_MENU = 5  # items in a row
_EDGE = 2  # lines in a row, at the beginning or the end
_FENCE = re.compile(r"```+|~~~+")
_HEADING = re.compile(r"#{1,6} ")
_ITEM = re.compile(r"(?:[-*+•]|\d+[.)])\s")
# Indented lines, but for items of lists; ends of statements; prompts, comments, directives; many
# brackets and signs of assignment.
_CODE = re.compile(
    r"(?:[ \t]+(?![-*+•\s]|\d+[.)]\s))|.*(?:[{};]|;\s*(?://|#).*)$|[\])}]+[;,]?$|(?:\$|>>>|//|/\*|#\[|#!|@)"
    r"|(?:.*?[{}\[\]();=<>`]){4}"
)


def cut_lines(text: str, is_repeated: Callable[[str], bool], long: int) -> tuple[str, list[str]]:
    """The text without what goes, and the lines that went, in order.

    Args:
        is_repeated: whether a line, as `line_of` has it, stands on enough pages of the site.
        long: characters from which a line goes wherever it is.
    """
    lines = text.split("\n")
    repeated = [bool(own) and is_repeated(own) for own in map(line_of, lines)]
    if not any(repeated):
        return text, []
    loose = _loose(lines, repeated)
    gone = {at for at in range(len(lines)) if loose[at] and len(lines[at].strip()) >= long}
    first, last = _ends(lines)
    for run in _runs(lines, loose):
        # What stands alone above a page's own text is more likely a heading of it than a link.
        alone = run[-1] != last and not lines[run[-1] + 1].strip()
        alone = alone and (run[-1] == 0 or not lines[run[-1] - 1].strip())
        if first == run[0] or last == run[-1]:
            gone.update(run if len(run) >= _EDGE + alone else [])
        gone.update(_menus(lines, run))
    if not gone:
        return text, []
    return _without(lines, gone), [lines[at] for at in sorted(gone)]


def _without(lines: Sequence[str], gone: Collection[int]) -> str:
    """The other lines. Of the blank ones above and below what goes, those above stay."""
    kept: list[str] = []
    below = False
    for at, line in enumerate(lines):
        if at in gone:
            below = True
        elif line.strip() or not below or (kept and kept[-1].strip()):
            kept.append(line)
            below = below and not line.strip()
    return "\n".join(kept).strip("\n")


def _loose(lines: Sequence[str], repeated: Sequence[bool]) -> list[bool]:
    """Which repeated lines hold nothing together: they may go."""
    loose = list(repeated)
    fence = ""
    for at, line in enumerate(lines):
        mark = _FENCE.match(line.lstrip())
        if fence or mark:
            loose[at] = False
            if mark and not fence:
                fence = mark[0]
            elif mark and mark[0].startswith(fence):
                fence = ""
        elif _is_code(line):
            loose[at] = False
    for block in _blocks(lines):
        # Rows whose first cell is empty; of a listing hardly all lines are indented.
        if all(lines[at].startswith("\t") for at in block):
            for at in block:
                loose[at] = repeated[at] and not _CODE.match(lines[at].strip())
        elif len(block) > 1 and any(_is_code(lines[at]) for at in block):
            for at in block:
                loose[at] = False
    for table in _tables(lines):
        if not all(repeated[at] for at in table):
            for at in table:
                loose[at] = False
    # A heading with something of the page's own behind it.
    below = False
    for at in reversed(range(len(lines))):
        if _HEADING.match(lines[at]) and below:
            loose[at] = False
        below = below or bool(lines[at].strip() and not loose[at])
    return loose


def _is_code(line: str) -> bool:
    return bool(_CODE.match(line)) and not _is_row(line)


def _is_row(line: str) -> bool:
    """Between bars, or cells with a tab between them of which the first is not empty."""
    bare = line.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == "|":
        return True
    first, tab, _ = line.partition("\t")
    return bool(tab and first.strip())


def _ends(lines: Sequence[str]) -> tuple[int, int]:
    """The first and the last line that is not blank."""
    written = [at for at, line in enumerate(lines) if line.strip()]
    return written[0], written[-1]


def _blocks(lines: Sequence[str]) -> Iterator[list[int]]:
    """Lines without a blank one between them."""
    block: list[int] = []
    for at, line in enumerate(lines):
        if line.strip():
            block.append(at)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _tables(lines: Sequence[str]) -> Iterator[list[int]]:
    """Rows in a row."""
    table: list[int] = []
    for at, line in enumerate(lines):
        if _is_row(line):
            table.append(at)
        elif table:
            yield table
            table = []
    if table:
        yield table


def _runs(lines: Sequence[str], loose: Sequence[bool]) -> Iterator[list[int]]:
    """Stretches of lines that may go, blank ones between them passed over."""
    run: list[int] = []
    for at, line in enumerate(lines):
        if loose[at]:
            run.append(at)
        elif line.strip() and run:
            yield run
            run = []
    if run:
        yield run


def _menus(lines: Sequence[str], run: Sequence[int]) -> list[int]:
    menu: list[int] = []
    found: list[int] = []
    for at in run:
        if _ITEM.match(lines[at].lstrip()) and (not menu or at == menu[-1] + 1):
            menu.append(at)
            continue
        found += menu if len(menu) >= _MENU else []
        menu = [at] if _ITEM.match(lines[at].lstrip()) else []
    return found + (menu if len(menu) >= _MENU else [])
