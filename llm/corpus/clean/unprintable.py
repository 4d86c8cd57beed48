"""Characters trafilatura would delete, kept.

trafilatura 2.3.1 deletes what `str.isprintable` does not accept (`trafilatura.utils.sanitize`).
Among that are characters texts need: ZERO WIDTH NON-JOINER inside Persian words, the joiners of
Indic scripts and of emoji, ARABIC END OF AYAH, the private use area, and every character that is
younger than the Unicode version of this Python. While trafilatura works, each is replaced by a
character of its own that the page does not have.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator

# Control characters and lone surrogates; `llm.corpus.clean.normalise` has its own mind about those.
_NO_TEXT = frozenset(("Cc", "Cs"))
_REFERENCE = re.compile(r"&(?:#x?[0-9A-Fa-f]{2,6}|zwn?j|lrm|rlm|shy);?")
# Printable letters no page is written in: Linear A and Anatolian hieroglyphs.
_STAND_INS = (*range(0x10600, 0x10737), *range(0x14400, 0x14647))


def _needs_guard(character: str) -> bool:
    return (
        not character.isprintable()
        and not character.isspace()
        and unicodedata.category(character) not in _NO_TEXT
    )


def _identity(text: str) -> str:
    return text


def guard(markup: str) -> tuple[str, Callable[[str], str]]:
    """Markup without the characters trafilatura deletes, and what puts them back into its text.

    Returns:
        The markup (the same object where nothing had to be done) and the function to apply to
        the extracted text. Equal markup gives equal results.
    """
    present = set(markup)
    deleted = {character for character in present if _needs_guard(character)}
    references = {}
    for source in set(_REFERENCE.findall(markup)) if "&" in present else ():
        character = html.unescape(source)
        if len(character) == 1 and _needs_guard(character):
            references[source] = character
    deleted.update(references.values())
    if not deleted:
        return markup, _identity
    free: Iterator[str] = (chr(code) for code in _STAND_INS if chr(code) not in present)
    # Where more are needed than there are stand-ins, the last ones are lost as before.
    stand_in = dict(zip(sorted(deleted), free, strict=False))
    if references:
        markup = _REFERENCE.sub(
            lambda match: stand_in.get(references.get(match[0], ""), match[0]), markup
        )
    there = {ord(deleted): kept for deleted, kept in stand_in.items()}
    back = {ord(kept): deleted for deleted, kept in stand_in.items()}
    return markup.translate(there), lambda text: text.translate(back)
