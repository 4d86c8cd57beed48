"""Which blocks of a page are its content: a scorer over text, links, names and place.

Three rules, one for each way in which pages hold their content:

- *article*: running text in one place. Every block has a weight, the characters of prose in it,
  less where few stand together (teasers are prose too, but each is alone). From the page inwards,
  the element that holds most of the weight; what it calls its own text (`articleBody`,
  `entry-content`) goes before. In there, all but clutter and lists of links.
- *thread*: contributions, side by side, under one class name. All of them, less the names,
  dates and buttons around each.
- *page*: anything else (a product, a list of products, a front page, a reference): all but clutter.

Where all but nothing comes out, what no tag marks as the frame of the page is taken ("all").

An element is clutter by what it says it is (`llm.corpus.clean.roles`), unless most of the page's
prose is in it: no name can empty a page.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from llm.corpus.clean.blocks import Block, Blocks
from llm.corpus.clean.markup_events import MarkupEvents
from llm.corpus.clean.page_type import (
    ARTICLE,
    COLLECTION,
    DOCUMENTATION,
    FORUM,
    LISTING,
    PRODUCT,
    SERVICE,
    PageType,
)
from llm.corpus.clean.roles import Role, role_of_name

# Clutter under every rule, and beside running text alone.
_ALWAYS = int(
    Role.NAVIGATION | Role.HEADER | Role.FOOTER | Role.ASIDE | Role.HIDDEN | Role.OVERLAY
    | Role.COMMENTS | Role.RELATED | Role.SHARE | Role.PROMOTION | Role.FORM | Role.GUTTER
)  # fmt: skip
_BESIDE_TEXT = _ALWAYS | int(Role.BYLINE | Role.CAPTION | Role.TEASER | Role.PITCH)
_BESIDE_POST = _ALWAYS & ~int(Role.COMMENTS) | int(Role.BYLINE)
_COMMENTS, _BODY, _NOTE, _POST = int(Role.COMMENTS), int(Role.BODY), int(Role.NOTE), int(Role.POST)
_MAIN, _HIDDEN, _FOOTER = int(Role.MAIN), int(Role.HIDDEN), int(Role.FOOTER)
# What prose has no place in, so that much of it tells that the name means something else.
_WITHOUT_PROSE = int(Role.SHARE | Role.NAVIGATION | Role.FORM)
_SOME_PROSE = 250
_EDGES = frozenset(("nav", "header", "footer", "button", "select"))

_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_PARAGRAPHS = frozenset(("p", "pre", "li", "dd", "dt", *_HEADINGS))
# Elements of a figure that are looked at for what it shows.
_FIGURE = 200
_TEXT_FIGURES = frozenset(("pre", "table", "blockquote", "code", "math", "dl"))
_FRAME = frozenset(("nav", "header", "footer", "aside", "form", "dialog", "button", "select"))
_WHOLE_PAGE = frozenset((COLLECTION, LISTING, SERVICE))
_TOP = frozenset(("html", "body", "main"))
# Links alone in one of these are text, where they are amidst it.
_LINKED_TEXT = frozenset(("li", *_HEADINGS))
# An element of text is no place that holds it.
_TEXT_ELEMENTS = frozenset(
    ("p", "pre", "ul", "ol", "dl", "li", "table", "tbody", "tr", "td", "th", "blockquote")
)
_SENTENCE = re.compile(r"[.!?…。！？।؟]['\"”’»)\]]*$")

# Characters of a group of blocks at which each of its blocks has half its weight.
_COMPANY = 600
# Characters from which on a block that was in the page before is taken for the same text again.
_REPEATED = 80
# Share of the weight an inner element must hold to stand for the outer one.
_INWARD = 0.8
# The same for one that is named as the text of the page.
_NAMED = 0.5
# Share of a page that <main> must hold to be taken at its word.
_MAIN_SHARE = 0.3
# The same for what is named as its text.
_BODY_SHARE = 0.8
# Of a page of unknown kind all but clutter is taken where that is so many times its running text:
# where the text stands in what is named as the text of the page, and elsewhere.
_MUCH_MORE, _MORE = 2.0, 1.2
# Fewer characters than a short paragraph has; and how much more another rule must then find.
_LITTLE, _LOST = 250, 4
# Short links in a row that make a menu.
_MENU = 5


@dataclass(frozen=True)
class Choice:
    """What was chosen of a page, and by what.

    Attributes:
        keep: for each block, whether it is content.
        places: the elements the content is in.
        rule: "article", "thread", "page" or "all".
        length: characters kept.
    """

    keep: Sequence[bool]
    places: tuple[int, ...]
    rule: str
    length: int


def _prose(block: Block) -> int:
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


class Scorer:
    """A page with its weights; the rules are methods, so that they can be compared."""

    def __init__(self, page: MarkupEvents, found: Blocks) -> None:
        self._page, self._found = page, found
        self._h1 = [number for number, tag in enumerate(page.tags) if tag == "h1"]
        self._repeated = self._repetitions()
        self._direct: dict[int, float] = {}
        weights = self._weights()
        self._prose = list(accumulate(map(_prose, found.blocks), initial=0))
        self._whole = list(accumulate(weights, initial=0.0))
        self._sizes = list(accumulate((len(b.text) for b in found.blocks), initial=0))
        self._roles = self._settled()
        beside = [0.0 if r & _BESIDE_TEXT else w for w, r in zip(weights, self._roles, strict=True)]
        self._clean = list(accumulate(beside, initial=0.0))

    def _weights(self) -> list[float]:
        page, tags = self._page, self._page.tags
        company: dict[int, float] = {}
        prose, groups = [], []
        for number, block in enumerate(self._found.blocks):
            weight: float = 0 if number in self._repeated else _prose(block)
            group = block.element
            if tags[group] == "li" and block.opens_linked:
                weight = 0  # a teaser
            if tags[group] in _PARAGRAPHS and group:
                group = page.parents[group]
                if tags[group] in _TEXT_ELEMENTS and group:
                    group = page.parents[group]
            elif group and weight:
                group = page.parents[group]
            prose.append(weight)
            groups.append(group)
            company[group] = company.get(group, 0) + weight
        weights = [
            weight * company[group] / (company[group] + _COMPANY) if weight else 0.0
            for weight, group in zip(prose, groups, strict=True)
        ]
        for block, weight in zip(self._found.blocks, weights, strict=True):
            if weight:
                above = page.parents[block.element]
                self._direct[above] = self._direct.get(above, 0.0) + weight
        return weights

    def _repetitions(self) -> set[int]:
        """Blocks that stand elsewhere in the page before: texts for narrow and wide screens, for
        machines. What a text itself repeats, its paragraphs being side by side, is none."""
        page, repeated = self._page, set[int]()
        seen: dict[str, int] = {}
        for number, block in enumerate(self._found.blocks):
            if len(block.text) >= _REPEATED and page.tags[block.element] != "pre":
                place = page.parents[block.element]
                if seen.setdefault(block.text, place) != place:
                    repeated.add(number)
        return repeated

    def _in(self, sums: Sequence[float], element: int) -> float:
        found = self._found
        return sums[found.last[element]] - sums[found.first[element]]

    def _headed(self, element: int) -> bool:
        """Whether the page's heading is in an element."""
        at = bisect_right(self._h1, element)
        return at < len(self._h1) and self._h1[at] < self._page.after[element]

    def _settled(self) -> list[int]:
        """The roles of each block: those of the elements it is in, where they are believed."""
        page, found = self._page, self._found
        settled = [0] * len(found.blocks)
        for element, roles in enumerate(found.roles):
            if not roles and page.tags[element] != "article":
                continue
            first, last = found.first[element], found.last[element]
            if first == last:
                continue
            tag = page.tags[element]
            if tag in _TOP:
                roles &= _MAIN
            elif roles & _BESIDE_TEXT:
                roles = self._believed(element, tag, roles)
            if tag == "article" and self._is_inner_article(element):
                roles |= int(Role.TEASER)
            if roles:
                for number in range(first, last):
                    settled[number] |= roles
        for number, block in enumerate(found.blocks):
            if block.spanned >= 0:
                settled[number] |= found.roles[block.spanned] & _BESIDE_TEXT
        return settled

    def _is_inner_article(self, element: int) -> bool:
        """An article in an article is a comment on it (HTML, section 4.3.2), or the teaser of
        another."""
        above = self._page.parents[element]
        while above >= 0:
            if self._page.tags[above] == "article":
                return self._in(self._whole, element) * 2 < self._in(self._whole, above)
            above = self._page.parents[above]
        return False

    def _believed(self, element: int, tag: str, roles: int) -> int:
        held = self._in(self._whole, element)
        share = held / self._whole[-1] if self._whole[-1] else 0.0
        headed = self._headed(element)
        if roles & _POST:  # beside it stands who wrote it, or where in the list it is
            roles &= ~int(Role.BYLINE)
        if tag == "header" and self._introduces(element):
            roles &= ~int(Role.HEADER)
        if tag == "figcaption" and self._is_of_text(element):
            return roles & ~_BESIDE_TEXT
        if roles & _NOTE and not roles & _HIDDEN:
            return roles & ~_BESIDE_TEXT
        if tag == "article" and not roles & int(Role.RELATED | Role.PROMOTION | Role.COMMENTS):
            return roles & ~_BESIDE_TEXT
        if roles & _BODY:
            trusted = share > 0.1
        elif roles & (_COMMENTS | _FOOTER):
            trusted = share > 0.25 and headed
        else:
            trusted = share > 0.5 or (share > 0.25 and headed)
        if trusted:
            return roles & ~_BESIDE_TEXT
        if roles & _WITHOUT_PROSE and tag not in _EDGES:
            prose = self._in(self._prose, element)
            if prose >= _SOME_PROSE and prose * 2 > self._in(self._sizes, element):
                roles &= ~_WITHOUT_PROSE
        return roles

    def _introduces(self, header: int) -> bool:
        """Whether a `<header>` is that of a text and not of the page: in a part of it, or with its
        heading and no menu."""
        tags = self._page.tags
        above = self._page.parents[header]
        while above >= 0:
            if tags[above] in ("article", "main"):
                return True
            above = self._page.parents[above]
        return self._headed(header) and "nav" not in tags[header : self._page.after[header]]

    def _is_of_text(self, caption: int) -> bool:
        """Whether it is the caption of a listing, a table or a quotation."""
        tags, above = self._page.tags, self._page.parents[caption]
        if tags[above] != "figure":
            return False
        end = min(self._page.after[above], above + _FIGURE)
        return not _TEXT_FIGURES.isdisjoint(tags[above + 1 : end])

    def article(self) -> Choice:
        """The running text of a page."""
        page, found = self._page, self._found
        places = self._places()
        keep = [False] * len(found.blocks)
        for place in places:
            for number in range(found.first[place], found.last[place]):
                block = found.blocks[number]
                keep[number] = (
                    not self._roles[number] & _BESIDE_TEXT
                    and number not in self._repeated
                    and (block.linked * 2 <= len(block.text) or _prose(block) > 0)
                )
        for place in places:
            for number in range(found.first[place] + 1, found.last[place] - 1):
                block = found.blocks[number]
                if (
                    block.linked * 2 > len(block.text)
                    and keep[number - 1]
                    and keep[number + 1]
                    and page.tags[block.element] in _LINKED_TEXT
                    and not self._roles[number] & _BESIDE_TEXT
                ):
                    keep[number] = True
        self._drop_tail(keep)
        return self._choice(keep, places, "article")

    def _drop_tail(self, keep: list[bool]) -> None:
        """Headings under which nothing is left."""
        tags = self._page.tags
        bare = True
        for number in range(len(keep) - 1, -1, -1):
            if not keep[number]:
                continue
            heading = tags[self._found.blocks[number].element] in _HEADINGS
            if heading and bare:
                keep[number] = False
            else:
                bare = False

    def _places(self) -> list[int]:
        page, found, clean = self._page, self._found, self._clean
        if not page.tags:
            return []
        place, named_place = 0, -1
        while True:
            weight = self._in(clean, place)
            if found.roles[place] & _BODY:
                named_place = place
            if self._direct.get(place, 0.0) > 0.1 * weight:
                break
            inner = max(page.children(place), key=lambda e: self._in(clean, e), default=-1)
            if (
                inner < 0
                or page.tags[inner] in _TEXT_ELEMENTS
                or self._in(clean, inner) < _INWARD * weight
                or not weight
            ):
                break
            place = inner
        if named_place >= 0:
            place = named_place
        named = [
            e
            for e in range(place + 1, page.after[place])
            if (found.roles[e] & _BODY or page.tags[e] == "article") and self._in(clean, e)
        ]
        best, weight = place, 0.0
        for e in named:
            held = self._in(clean, e)
            if held >= _NAMED * self._in(clean, place) and held >= 0.9 * weight:
                best, weight = e, max(held, weight)
        if best != place:
            return self._with_twins(best, named)
        weight = _NAMED * self._in(clean, place)
        for members in self._by_name(named).values():
            if len(members) > 1 and sum(self._in(clean, e) for e in members) >= weight:
                return members
        return [place]

    def _with_twins(self, element: int, named: Sequence[int]) -> list[int]:
        """An element and those beside it that share a name of it: a text in several pieces."""
        for members in self._by_name(named).values():
            if element in members:
                return members
        return [element]

    def _by_name(self, named: Sequence[int]) -> dict[str, list[int]]:
        """Elements under each name of a text, none within another."""
        page = self._page
        found: dict[str, list[int]] = {}
        for e in named:
            if page.tags[e] == "article":
                continue
            for name in self._text_names(e):
                members = found.setdefault(name, [])
                if not members or e >= page.after[members[-1]]:
                    members.append(e)
        return found

    def _text_names(self, element: int) -> list[str]:
        names = (self._page.attributes[element].get("class") or "").split()
        return [name for name in names if role_of_name(name) & _BODY]

    def page(self, clutter: int = _ALWAYS, menus: bool = False) -> Choice:
        """All but clutter.

        Args:
            clutter: roles of it.
            menus: keep runs of short links that are not marked as navigation, also where no
                element says that it is the main part.
        """
        page, found = self._page, self._found
        if not page.tags:
            return self._choice([], [], "page")
        place = self._main_part()
        keep = [False] * len(found.blocks)
        for number in range(found.first[place], found.last[place]):
            keep[number] = not self._roles[number] & clutter and number not in self._repeated
        if not menus and not found.roles[place] & _MAIN:
            self._drop_menus(keep)
        return self._choice(keep, [place], "page")

    def _main_part(self) -> int:
        """The element that says it is the main part, or the innermost that has nearly all."""
        page, found = self._page, self._found
        sizes = [
            0 if r & _ALWAYS else len(b.text)
            for b, r in zip(found.blocks, self._roles, strict=True)
        ]
        sums = list(accumulate(sizes, initial=0))
        whole = sums[-1]
        for part, share in ((_MAIN, _MAIN_SHARE), (_BODY, _BODY_SHARE)):
            named = [e for e, roles in enumerate(found.roles) if roles & part]
            # Of those that hold as much, the innermost.
            main = max(named, key=lambda e: (self._in(sums, e), e), default=-1)
            if main >= 0 and self._in(sums, main) >= share * whole:
                return main
        place = 0
        while True:
            inner = max(page.children(place), key=lambda e: self._in(sums, e), default=-1)
            if (
                inner < 0
                or page.tags[inner] in _TEXT_ELEMENTS
                or self._in(sums, inner) < 0.99 * self._in(sums, place)
            ):
                return place
            place = inner

    def _drop_menus(self, keep: list[bool]) -> None:
        """Runs of short links with nothing between them."""
        run: list[int] = []
        for number, block in enumerate([*self._found.blocks, None]):
            if block is not None and block.linked >= 0.9 * len(block.text) and len(block.text) < 30:
                run.append(number)
                continue
            if len(run) >= _MENU:
                for other in run:
                    keep[other] = False
            run = []

    def thread(self) -> Choice | None:
        """Contributions side by side; None where none are named as such.

        Of what stands in one, its text is what is in the innermost element that is named as a
        contribution or as text, and what is prose."""
        page, found = self._page, self._found
        posts = [
            e
            for e, roles in enumerate(found.roles)
            if roles & (_POST | _BODY)
            and found.first[e] < found.last[e]
            and page.tags[e] not in _TOP
        ]
        count = len(found.blocks)
        within, inner = [False] * count, [False] * count
        outermost: list[int] = []
        for e, following in zip(posts, [*posts[1:], len(page.tags)], strict=True):
            blocks = range(found.first[e], found.last[e])
            if following >= page.after[e]:
                for number in blocks:
                    inner[number] = True
            if found.roles[e] & _POST and (not outermost or e >= page.after[outermost[-1]]):
                outermost.append(e)
                for number in blocks:
                    within[number] = True
        keep = [
            w and not roles & _BESIDE_POST and (i or _prose(block) > 0)
            for block, w, i, roles in zip(found.blocks, within, inner, self._roles, strict=True)
        ]
        if not any(keep):
            return None
        first = keep.index(True)
        for number in range(first):
            block = found.blocks[number]
            if page.tags[block.element] == "h1" and not self._roles[number] & _BESIDE_POST:
                keep[number] = True
        return self._choice(keep, outermost, "thread")

    def all(self) -> Choice:
        """Whatever is shown and not in an element that is the frame of a page by its tag."""
        page, found = self._page, self._found
        keep = [True] * len(found.blocks)
        for element, tag in enumerate(page.tags):
            if tag in _FRAME or (found.roles[element] & _HIDDEN and tag not in ("html", "body")):
                for number in range(found.first[element], found.last[element]):
                    keep[number] = False
        if not any(keep):
            keep = [True] * len(found.blocks)
        return self._choice(keep, [0] if page.tags else [], "all")

    def choose(self, kind: PageType, comments: bool) -> Choice:
        """By the rule that fits the kind of page, or by one that finds much more.

        Args:
            kind: of the page.
            comments: keep what readers wrote below an article or about a product.
        """
        if kind.kind == FORUM:
            chosen = self.thread() or max(self.article(), self.page(), key=lambda c: c.length)
        elif kind.kind == PRODUCT:
            chosen = self.page(_ALWAYS | int(Role.TEASER))
        elif kind.kind == DOCUMENTATION:
            chosen = self.page(menus=True)
        elif kind.kind in _WHOLE_PAGE:
            chosen = self.page()
        else:
            chosen = self.article()
            if kind.kind != ARTICLE or chosen.length < _LITTLE:
                whole = self.page()
                named = any(
                    self._found.roles[place] & _BODY or self._page.tags[place] == "article"
                    for place in chosen.places
                )
                if whole.length > (_MUCH_MORE if named else _MORE) * chosen.length:
                    chosen = whole
        for rule in (self.page, self.all):
            if chosen.length >= _LITTLE:
                break
            other = rule()
            if other.length > _LOST * chosen.length:
                chosen = other
        if comments:
            chosen = self._with_comments(chosen)
        return chosen

    def _with_comments(self, chosen: Choice) -> Choice:
        besides = (_BESIDE_TEXT & ~_COMMENTS) | int(Role.BYLINE)
        keep = [
            kept or bool(roles & _COMMENTS and not roles & besides)
            for kept, roles in zip(chosen.keep, self._roles, strict=True)
        ]
        return self._choice(keep, chosen.places, chosen.rule)

    def _choice(self, keep: list[bool], places: Sequence[int], rule: str) -> Choice:
        kept = sum(len(b.text) for b, k in zip(self._found.blocks, keep, strict=True) if k)
        return Choice(keep, tuple(places), rule, kept)
