"""The text blocks of a page: what a reader sees as a paragraph, heading, item, cell or listing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from llm.corpus.clean.formula_text import formula_of_image, formula_text
from llm.corpus.clean.markup_events import SILENT, MarkupEvents
from llm.corpus.clean.roles import TAG_ROLES, Role, role

_SILENT_IN_LINE = frozenset(("svg", "style", "noscript"))
_INLINE_TAGS = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark "
    "math mjx-container nobr q rb rp rt rtc ruby s samp script small span strike strong sub "
    "sup time tt u var wbr"
)
_INLINE = frozenset((*_INLINE_TAGS.split(), *_SILENT_IN_LINE))
# With no text of the page in it. The head is not among these: where a page opens no body, its
# parts begin within the head for a parser that does not know them (libxml2: <nav>, <main>).
_SKIPPED = frozenset(("title",))
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
# A boundary of lines within a listing; and what is no part of it.
_LINES = frozenset(("div", "p", "li", "tr"))
_LISTS = frozenset(("table", "thead", "tbody", "tr", "ol", "ul"))
_IN_LISTS = frozenset(("thead", "tbody", "tr", "td", "th", "li"))
_NO_CODE = frozenset(("button", "select", "label"))
_SPECIAL = frozenset(("img", "script", "math", "sub", "sup", "mjx-container", *_SILENT_IN_LINE))
_CODE = frozenset(("code", "kbd", "samp", "tt"))
_HIDDEN, _GUTTER = int(Role.HIDDEN), int(Role.GUTTER)
# What is raised or lowered and means something so: a number, a sign or a letter. After a digit a
# letter is an ordinal's.
_SCRIPT = re.compile(r"[-+−]?(?:\d{1,4}|[^\W\d_])[-+−]?|[-+−]")
# Text of a link that leads to the heading it stands in, and of an icon.
_SIGN = re.compile("[\\s¶#§🔗\ue000-\uf8ff\u200b]+")


@dataclass(slots=True)
class Block:
    """Text between two starts or ends of elements that are no part of a line.

    Attributes:
        element: the element it is directly in.
        text: white space collapsed, but for a listing.
        linked: characters of it that are links.
        opens_linked: it begins with one.
        spanned: the element within the line that all of it is in, or -1.
    """

    element: int
    text: str
    linked: int
    opens_linked: bool
    spanned: int


@dataclass
class Blocks:
    """Blocks of a page and what its elements say they are.

    Attributes:
        blocks: in order.
        first: for each element the number of the first block in it or behind its start.
        last: the number behind the last one in it.
        roles: of each element alone.
    """

    blocks: list[Block] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    roles: list[int] = field(default_factory=list)


def find_blocks(page: MarkupEvents, marks: bool, by_id: bool) -> Blocks:
    """All blocks of a page; elements that show nothing have none.

    A formula is its TeX between `$`; numbers and letters raised or lowered follow `^` or `_`.

    Args:
        marks: put inline code between backticks.
        by_id: go by ids of elements, too, for what they are (`llm.corpus.clean.roles.role`).
    """
    return _Finder(page, marks, by_id).find()


class _Finder:
    def __init__(self, page: MarkupEvents, marks: bool, by_id: bool) -> None:
        count = len(page.tags)
        self._page, self._marks, self._by_id = page, marks, by_id
        self._found = Blocks(first=[0] * count, last=[0] * count, roles=[0] * count)
        self._pieces: list[str] = []
        self._linked = 0
        self._opens_linked = False
        # The outermost element with a role that began where the text did, and where it ended.
        self._span = self._spans = -1

    def find(self) -> Blocks:
        page, found = self._page, self._found
        events, tags, attributes = page.events, page.tags, page.attributes
        blocks, firsts, lasts, roles = found.blocks, found.first, found.last, found.roles
        pieces, inline = self._pieces, _INLINE
        anchors = links = code = element = index = 0
        end = len(events)
        while index < end:
            event = events[index]
            index += 1
            if isinstance(event, str):
                if not pieces and event.isspace():
                    continue
                if anchors and _SIGN.fullmatch(event) and not event.isspace():
                    continue
                if len(event) == 1 and "\ue000" <= event <= "\uf8ff":  # of an icon font
                    continue
                if links:
                    self._opens_linked = self._opens_linked or not pieces
                    self._linked += len(event.strip())
                if self._spans == len(pieces) and event.isspace():
                    self._spans += 1
                pieces.append(event)
                continue
            opening = event >= 0
            number = event if opening else ~event
            tag = tags[number]
            if tag in inline:
                if not opening:
                    lasts[number] = len(blocks)
                    if number == self._span:
                        self._spans = len(pieces)
                    if tag == "a":
                        anchors -= 1
                        links -= self._is_link(number)
                    elif self._marks and tag in _CODE:
                        code -= 1
                        if pieces and not code:
                            self._close_code()
                    continue
                firsts[number] = len(blocks)
                if attributes[number]:
                    roles[number] = role(tag, attributes[number], self._by_id)
                    text = self._instead(number, tag)
                    if roles[number] and not pieces and self._span < 0:
                        self._span = number
                elif tag in _SPECIAL:
                    text = self._instead(number, tag)
                else:
                    text = None
                if text is not None:
                    if text:
                        pieces.append(text)
                    lasts[number] = len(blocks)
                    index = page.finish[number] + 1
                elif tag == "a":
                    anchors += 1
                    links += self._is_link(number)
                elif self._marks and tag in _CODE:
                    # Code within code is code already.
                    if not code:
                        pieces.append("`")
                    code += 1
                continue
            if pieces:
                self._flush(element)
            if not opening:
                lasts[number] = len(blocks)
                element = page.parents[number]
                continue
            firsts[number] = len(blocks)
            if attributes[number]:
                roles[number] = role(tag, attributes[number], self._by_id)
            elif tag in TAG_ROLES:
                roles[number] = TAG_ROLES[tag]
            if tag == "pre":
                self._add_listing(number)
            elif tag not in _SKIPPED and tag not in SILENT:
                element = number
                continue
            lasts[number] = len(blocks)
            index = page.finish[number] + 1
        return found

    def _is_link(self, number: int) -> bool:
        """Whether an `<a>` leads to another place: not one that links lead to, nor a heading's
        link to itself."""
        page = self._page
        target = page.attributes[number].get("href")
        return target is not None and not (
            target.startswith("#") and page.tags[page.parents[number]] in HEADINGS
        )

    def _flush(self, element: int) -> None:
        text = " ".join("".join(self._pieces).split())
        spanned = self._span if self._spans == len(self._pieces) else -1
        if text and text != "``":
            self._found.blocks.append(
                Block(element, text, self._linked, self._opens_linked, spanned)
            )
        self._pieces.clear()
        self._linked, self._opens_linked = 0, False
        self._span = self._spans = -1

    def _close_code(self) -> None:
        """The end of inline code; where it holds nothing there are no marks."""
        pieces = self._pieces
        if pieces[-1] == "`":
            pieces.pop()
        else:
            pieces.append("`")

    def _instead(self, number: int, tag: str) -> str | None:
        """What stands for an element within a line, where that is not what is in it."""
        page = self._page
        if tag in _SILENT_IN_LINE:
            return ""
        if tag == "img":
            return formula_of_image(page, number)
        if tag == "script" or tag == "math":
            return formula_text(page, number)
        if tag == "sub" or tag == "sup":
            text = page.text(number).strip()
            before = self._pieces[-1][-1:] if self._pieces else ""
            if (
                _SCRIPT.fullmatch(text)
                and before.strip()
                and not (before.isdigit() and text.isalpha())
                and not self._holds(number, "a")
            ):
                return ("_" if tag == "sub" else "^") + (text if len(text) == 1 else f"{{{text}}}")
            return None
        found = self._found.roles[number]
        if tag == "mjx-container" or found & (_HIDDEN | _GUTTER):
            # What is drawn beside a formula for the eye is hidden from other readers, or is what
            # the eye does not see.
            return self._formula_in(number)
        return None

    def _holds(self, number: int, tag: str) -> bool:
        return tag in self._page.tags[number + 1 : self._page.after[number]]

    def _formula_in(self, number: int) -> str:
        page = self._page
        for inner in range(number + 1, page.after[number]):
            if page.tags[inner] == "math":
                return formula_text(page, inner)
        return ""

    def _add_listing(self, number: int) -> None:
        """A `<pre>`: its lines as they are, less the numbers beside them."""
        page = self._page
        events, index = page.events, page.begin[number] + 1
        pieces: list[str] = []
        begun: dict[int, int] = {}  # where in the pieces an element that is a line begins
        between = False  # the text at hand stands between lines or cells
        while index < page.finish[number]:
            event = events[index]
            index += 1
            if isinstance(event, str):
                if not (between and event.isspace()):
                    pieces.append(event)
                continue
            inner = event if event >= 0 else ~event
            tag = page.tags[inner]
            between = tag in (_LISTS if event >= 0 else _IN_LISTS)
            if event >= 0 and (
                tag in SILENT
                or tag in _NO_CODE
                or role(tag, page.attributes[inner]) & (_GUTTER | _HIDDEN)
            ):
                index = page.finish[inner] + 1
                between = tag in _IN_LISTS
            elif tag == "br":
                if event >= 0:
                    pieces.append("\n")
            elif tag in _LINES:
                empty = event < 0 and begun.pop(inner, -1) == len(pieces)
                if empty or (pieces and not pieces[-1].endswith("\n")):
                    pieces.append("\n")
                if event >= 0:
                    begun[inner] = len(pieces)
        text = "".join(pieces)
        text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()
        if text.strip():
            self._found.blocks.append(Block(number, text, 0, opens_linked=False, spanned=-1))
