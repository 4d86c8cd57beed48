"""Numbers that belong to one person: payment cards, bank accounts, social security.

Cards (ISO/IEC 7812) have a check digit by Luhn and begin as a scheme's do; account numbers (IBAN,
ISO 13616) leave 1 modulo 97 and have the length of their country; social security numbers of the
United States have ranges that were never given out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm.corpus.annotate.pii.spans import PiiMatch, at

_DIGITS = re.compile(r"(?<![\w.+-])[0-9](?:[ -]?[0-9]){11,18}(?![\w-]|\.[0-9])")
# How schemes' numbers begin, and the lengths they have.
_SCHEMES = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"30[0-5]|309|36|38|39"), (14, 16, 19)),
    (re.compile(r"35"), (16, 17, 18, 19)),
    (re.compile(r"2131|1800"), (15,)),
    (re.compile(r"6011|64[4-9]|65|62"), (16, 17, 18, 19)),
    (re.compile(r"50[0-9]{2}|5[6-8]|6304|6390|67|0604"), (12, 13, 14, 15, 16, 17, 18, 19)),
)
_IBAN = re.compile(
    r"(?<![\w-])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![\w-])"
)
# Characters an account number has in each country (the registry of SWIFT, 2025).
_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE", "BI"), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL", "FK", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("HR", "LV", "CH", "LI"), 21),
    **dict.fromkeys(("BH", "BG", "CR", "GE", "DE", "IE", "ME", "RS", "GB", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "MD", "PK", "RO", "SA", "SK", "ES", "SE", "TN", "VG"), 24),
    **dict.fromkeys(("PT", "ST", "LY"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MR", "MC", "SM", "BJ", "DJ"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    "LC": 32,
    "RU": 33,
}
_SSN = re.compile(
    r"(?<![\w.+-])(?!000|666|9)[0-9]{3}([- ])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![\w-]|\.[0-9])"
)
_SSN_CUE = re.compile(r"\b(?:ssn|social security|taxpayer|tin)\b", re.IGNORECASE)
_CUE_REACH = 40
# What such numbers have, found far faster than they are.
_TWELVE_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){11}")
_THREE_TWO_FOUR = re.compile(r"[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}")
_EIGHT_DIGITS = re.compile(r"[0-9](?:[^0-9]{0,8}[0-9]){7}")


def cards(text: str) -> Iterator[PiiMatch]:
    """Numbers of payment cards, with blanks or hyphens between digits or without."""
    if not _TWELVE_DIGITS.search(text):
        return
    for found in _DIGITS.finditer(text):
        number = found[0].replace(" ", "").replace("-", "")
        known = any(len(number) in lengths and s.match(number) for s, lengths in _SCHEMES)
        if known and _luhn(number) and len(set(number)) > 1 and _in_groups(found[0]):
            yield at(text, found.start(), found.end(), "card")


def _in_groups(written: str) -> bool:
    """Whether digits stand together as on a card: all, or groups of three to seven."""
    groups = re.split("[ -]", written)
    return len(groups) == 1 or all(3 <= len(group) <= 7 for group in groups)


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + doubled) % 10 == 0


def ibans(text: str) -> Iterator[PiiMatch]:
    """Numbers of bank accounts, in groups of four or without."""
    if not _EIGHT_DIGITS.search(text):
        return
    for found in _IBAN.finditer(text):
        length = _LENGTHS.get(found[0][:2].upper())
        if length is None:
            continue
        end, characters = found.start(), ""
        for place in range(found.start(), found.end()):
            if len(characters) == length:
                break
            characters += text[place] if text[place].isalnum() else ""
            end = place + 1
        if len(characters) != length or text[end : end + 1].isalnum():
            continue
        moved = (characters[4:] + characters[:4]).upper()
        if int("".join(str(int(c, 36)) for c in moved)) % 97 == 1:
            yield at(text, found.start(), end, "iban")


def social_security(text: str) -> Iterator[PiiMatch]:
    """Social security numbers, written with hyphens; with blanks where the words say so."""
    if not _THREE_TWO_FOUR.search(text):
        return
    for found in _SSN.finditer(text):
        before = text[max(0, found.start() - _CUE_REACH) : found.start()]
        if found[1] == "-" or _SSN_CUE.search(before):
            yield at(text, found.start(), found.end(), "ssn")
