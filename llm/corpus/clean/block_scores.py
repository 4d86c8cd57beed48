"""How much each block of a page counts, and what part of the page it is.

Every block has a weight, the characters of prose in it, less where few stand together: teasers are
prose too, but each is alone. And it has the roles of the elements it is in
(`llm.corpus.clean.roles`) as far as they are believed: an element that holds most of the page's
prose, or its heading and much of it, is no clutter whatever its name, so that no name can empty a
page.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from llm.corpus.clean.blocks import HEADINGS, Block, Blocks
from llm.corpus.clean.markup_events import MarkupEvents
from llm.corpus.clean.roles import Role

# Clutter under every rule, and beside running text alone.
ALWAYS = int(
    Role.NAVIGATION | Role.HEADER | Role.FOOTER | Role.ASIDE | Role.HIDDEN | Role.OVERLAY
    | Role.COMMENTS | Role.RELATED | Role.SHARE | Role.PROMOTION | Role.FORM | Role.GUTTER
)  # fmt: skip
BESIDE_TEXT = ALWAYS | int(Role.BYLINE | Role.CAPTION | Role.TEASER | Role.PITCH)
COMMENTS, BODY, POST, MAIN, HIDDEN = (
    int(part) for part in (Role.COMMENTS, Role.BODY, Role.POST, Role.MAIN, Role.HIDDEN)
)
# An element of text is no place that holds it.
TEXT_ELEMENTS = frozenset(
    ("p", "pre", "ul", "ol", "dl", "li", "table", "tbody", "tr", "td", "th", "blockquote")
)
TOP = frozenset(("html", "head", "body", "main"))

_FOOTER, _NOTE, _TEASER = int(Role.FOOTER), int(Role.NOTE), int(Role.TEASER)
# A note that is one of these, too, is none.
_NO_NOTE = int(Role.HIDDEN | Role.PROMOTION | Role.RELATED | Role.OVERLAY | Role.SHARE)
_PARAGRAPHS = frozenset(("p", "pre", "li", "dd", "dt", *HEADINGS))
_SENTENCE = re.compile(r"[.!?…。！？।؟]['\"”’»)\]]*$")
# What prose has no place in, so that so much of it tells that the name means something else.
_WITHOUT_PROSE = int(Role.SHARE | Role.NAVIGATION | Role.FORM)
_SOME_PROSE = 250
# But a tag means what it says.
_SURE = frozenset(("nav", "header", "footer", "button", "select"))
# Elements of a figure that are looked at for what it shows.
_FIGURE = 200
_TEXT_FIGURES = frozenset(("pre", "table", "blockquote", "code", "math", "dl"))
_PROSE_FIGURES = frozenset(("p", "ul", "ol"))
# Pages that load their pictures later have none, so that these alone would not do.
_PICTURES = frozenset(
    ("img", "picture", "svg", "video", "audio", "object", "embed", "canvas", "iframe", "noscript")
)
# Characters of a group of blocks at which each of its blocks has half its weight.
_COMPANY = 1000
# Characters from which on a block that was in the page before is taken for the same text again.
_REPEATED = 80
# Share of the page's weight above which an element is what it holds and not what it is called:
# without the page's heading in it, with it, and where it is named as text, too.
_MOST, _MUCH, _NAMED = 0.5, 0.25, 0.1


def prose(block: Block) -> int:
    """Characters of a block that are running text: a sentence, or as long as one."""
    text, length = block.text, len(block.text)
    own = length - block.linked
    if own < 20 or block.linked > 3 * own:
        return 0
    if block.linked > own and own < 60:
        return 0
    if length < 40 and not _SENTENCE.search(text):
        return 0
    if text.isascii() and text.count(" ") * 15 < length:  # an address, a hash
        return 0
    return own


class BlockScores:
    """Weights and roles of the blocks of a page.

    Attributes:
        page, found: the page and its blocks.
        roles: of each block, as far as they are believed (bits of `Role`).
        repeated: numbers of blocks that stand elsewhere in the page before.
        direct: for an element the weight of the blocks whose elements are directly in it.
        weights: sums over the blocks before each of the weights of those that are not clutter
            beside running text.
        sizes: the same of the characters of all.
    """

    def __init__(self, page: MarkupEvents, found: Blocks) -> None:
        self.page, self.found = page, found
        self._h1 = [number for number, tag in enumerate(page.tags) if tag == "h1"]
        self.repeated = self._repetitions()
        self.direct: dict[int, float] = {}
        weights = self._weights()
        self._prose = list(accumulate(map(prose, found.blocks), initial=0))
        self._whole = list(accumulate(weights, initial=0.0))
        self.sizes = list(accumulate((len(b.text) for b in found.blocks), initial=0))
        self.roles = self._settled()
        clean = (0.0 if r & BESIDE_TEXT else w for w, r in zip(weights, self.roles, strict=True))
        self.weights = list(accumulate(clean, initial=0.0))

    def within(self, sums: Sequence[float], element: int) -> float:
        """What the blocks of an element have together, of `weights`, `sizes` or the like."""
        found = self.found
        return sums[found.last[element]] - sums[found.first[element]]

    def _weights(self) -> list[float]:
        page, tags = self.page, self.page.tags
        company: dict[int, float] = {}
        weighed: list[float] = []
        groups = []
        for number, block in enumerate(self.found.blocks):
            weight: float = 0 if number in self.repeated else prose(block)
            group = block.element
            if tags[group] == "li" and block.opens_linked:
                weight = 0  # a teaser
            if tags[group] in _PARAGRAPHS and group:
                group = page.parents[group]
                if tags[group] in TEXT_ELEMENTS and group:
                    group = page.parents[group]
            elif group and weight:
                group = page.parents[group]
            weighed.append(weight)
            groups.append(group)
            company[group] = company.get(group, 0) + weight
        weights = [
            weight * company[group] / (company[group] + _COMPANY) if weight else 0.0
            for weight, group in zip(weighed, groups, strict=True)
        ]
        for block, weight in zip(self.found.blocks, weights, strict=True):
            if weight:
                above = page.parents[block.element]
                self.direct[above] = self.direct.get(above, 0.0) + weight
        return weights

    def _repetitions(self) -> set[int]:
        """Blocks that stand elsewhere in the page before: texts for narrow and wide screens, for
        machines. What a text itself repeats, its paragraphs being side by side, is none."""
        page, repeated = self.page, set[int]()
        seen: dict[str, int] = {}
        for number, block in enumerate(self.found.blocks):
            if len(block.text) >= _REPEATED and page.tags[block.element] != "pre":
                place = page.parents[block.element]
                if seen.setdefault(block.text, place) != place:
                    repeated.add(number)
        return repeated

    def _headed(self, element: int) -> bool:
        """Whether the page's heading is in an element."""
        at = bisect_right(self._h1, element)
        return at < len(self._h1) and self._h1[at] < self.page.after[element]

    def _settled(self) -> list[int]:
        """The roles of each block: those of the elements it is in, where they are believed."""
        page, found = self.page, self.found
        settled = [0] * len(found.blocks)
        for element, roles in enumerate(found.roles):
            if not roles and page.tags[element] not in ("article", "figure"):
                continue
            first, last = found.first[element], found.last[element]
            if first == last:
                continue
            tag = page.tags[element]
            if tag in TOP:
                roles &= MAIN
            elif roles & BESIDE_TEXT:
                roles = self._believed(element, tag, roles)
            if tag == "figure" and not self._is_text(element):
                roles |= int(Role.CAPTION)
            if tag == "article" and self._is_inner_article(element):
                roles |= _TEASER
            if roles:
                for number in range(first, last):
                    settled[number] |= roles
        for number, block in enumerate(found.blocks):
            # A heading's link is named as what leads to it, and leads to it.
            if block.spanned >= 0 and page.tags[block.element] not in HEADINGS:
                settled[number] |= found.roles[block.spanned] & BESIDE_TEXT
        return settled

    def _is_inner_article(self, element: int) -> bool:
        """An article in an article is a comment on it (HTML, section 4.3.2), or the teaser of
        another."""
        above = self.page.parents[element]
        while above >= 0:
            if self.page.tags[above] == "article":
                return self.within(self._whole, element) * 2 < self.within(self._whole, above)
            above = self.page.parents[above]
        return False

    def _believed(self, element: int, tag: str, roles: int) -> int:
        held = self.within(self._whole, element)
        share = held / self._whole[-1] if self._whole[-1] else 0.0
        headed = self._headed(element)
        if roles & POST:  # beside it stands who wrote it, or where in the list it is
            roles &= ~int(Role.BYLINE)
        if tag == "header" and self._introduces(element):
            roles &= ~int(Role.HEADER)
        if tag == "figcaption":
            above = self.page.parents[element]
            if self.page.tags[above] == "figure" and self._is_text(above):
                return roles & ~BESIDE_TEXT
        if roles & _NOTE and not roles & _NO_NOTE:
            return roles & ~BESIDE_TEXT
        if tag == "article" and not roles & int(Role.RELATED | Role.PROMOTION | Role.COMMENTS):
            return roles & ~BESIDE_TEXT
        if roles & BODY:
            trusted = share > _NAMED
        elif roles & (COMMENTS | _FOOTER):
            trusted = share > _MUCH and headed
        else:
            trusted = share > _MOST or (share > _MUCH and headed)
        if trusted:
            return roles & ~BESIDE_TEXT
        if roles & _WITHOUT_PROSE and tag not in _SURE:
            prose = self.within(self._prose, element)
            if prose >= _SOME_PROSE and prose * 2 > self.within(self.sizes, element):
                roles &= ~_WITHOUT_PROSE
        return roles

    def _introduces(self, header: int) -> bool:
        """Whether a `<header>` is that of a text and not of the page: in a part of it, or with its
        heading and no menu."""
        tags = self.page.tags
        above = self.page.parents[header]
        while above >= 0:
            if tags[above] in ("article", "main"):
                return True
            above = self.page.parents[above]
        return self._headed(header) and "nav" not in tags[header : self.page.after[header]]

    def _is_text(self, figure: int) -> bool:
        """Whether a `<figure>` is a listing, a table, a quotation or a verse, and not a picture
        with what is said of it."""
        page = self.page
        beside: set[str] = set()
        inner, end = figure + 1, min(page.after[figure], figure + _FIGURE)
        while inner < end:
            if page.tags[inner] == "figcaption":
                inner = page.after[inner]
                continue
            beside.add(page.tags[inner])
            inner += 1
        if not _TEXT_FIGURES.isdisjoint(beside):
            return True
        return _PICTURES.isdisjoint(beside) and not _PROSE_FIGURES.isdisjoint(beside)
