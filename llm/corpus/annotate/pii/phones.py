"""Telephone numbers.

Some are known by their form: with the country's code behind a plus sign (E.164), with the area in
parentheses, in three groups as in North America. Of the rest, which dates, amounts and codes look
like, those count that a word for a telephone stands beside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm.corpus.annotate.pii.spans import PiiMatch, at

_BETWEEN = r"(?: ?\(0\) ?|\)[ ./-]?| ?\(| - |[ ./\u00a0-])"
_EXTENSION = r"(?: ?(?:x|ext\.?) ?[0-9]{1,5})?"
_GROUPED = re.compile(
    rf"(?<![\w./-])(?:\(?\+|\()?(?=[0-9])[0-9]{{1,12}}(?:{_BETWEEN}[0-9]{{1,12}}){{0,6}}{_EXTENSION}"
    r"(?!\w|[.,/-][0-9]|%)"
)
_NORTH_AMERICA = re.compile(
    r"(?:(?:\+?1|001)[ .-]?)?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}"
    + _EXTENSION
)
_AREA = re.compile(r"\(0?[0-9]{1,5}\)[ ./-]?[0-9]{2,5}(?:[ ./-]?[0-9]{2,5}){1,3}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[./ -][0-9]{1,2}[./ -][0-9]{1,2}(?:[ ][0-9]{1,2})?"
    r"|[0-9]{1,2}[./ -][0-9]{1,2}[./ -](?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2} ?- ?(?:19|20)[0-9]{2}"
)
_CUE = (
    r"phone|tel|telephone|telefono?|telefon|téléphone|teléfono|móvil|movil|celular|handy|mobil|"
    r"mobile|cell|fax|telefax|sms|whatsapp|viber|call|calls|called|calling|text me|dial|hotline|"
    r"helpline|ring|reach|reached|contact|answering|messages? to|registered|тел|телефон|факс|"
    r"電話|电话|手机|전화|โทร|هاتف|טלפון|फ़ोन|फोन"
)
_BEFORE = re.compile(
    rf"(?<![A-Za-z])(?:{_CUE})(?![A-Za-z]{{3}})[^0-9\n]{{0,24}}\n?[^0-9\n]{{0,4}}\Z", re.IGNORECASE
)
_LABEL = re.compile(r"(?<![A-Za-z])(?:office|desk|home|work)[:.=|] ?\Z", re.IGNORECASE)
_AFTER = re.compile(
    r" ?[-(,:]{0,2} ?(?:office|fax|mobile|cell|phone|tel|home|work|desk)\b", re.IGNORECASE
)
_REACH_BEFORE, _REACH_AFTER = 44, 14
# What any number of a telephone has, found far faster than the number.
_SEVEN_DIGITS = re.compile(r"[0-9](?:[^0-9A-Za-z\n]{0,3}[0-9]){6}")


def phones(text: str) -> Iterator[PiiMatch]:
    """Telephone numbers in a text, from the first to the last."""
    if not _SEVEN_DIGITS.search(text):
        return
    for found in _GROUPED.finditer(text):
        written = found[0]
        digits = sum(map(str.isdigit, re.split("x|ext", written)[0]))
        if not 7 <= digits <= 15 or _DATE.fullmatch(written):
            continue
        if _is_known_by_form(written, digits) or _is_said_to_be(text, found):
            yield at(text, found.start(), found.end(), "phone")


def _is_known_by_form(written: str, digits: int) -> bool:
    if written.startswith("+"):
        return digits >= 8
    if _NORTH_AMERICA.fullmatch(written):
        return True
    return digits >= 8 and _AREA.fullmatch(written) is not None


def _is_said_to_be(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - _REACH_BEFORE) : found.start()]
    if _BEFORE.search(before) or _LABEL.search(before):
        return True
    return _AFTER.match(text[found.end() : found.end() + _REACH_AFTER]) is not None
