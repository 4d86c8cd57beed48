"""In which script a text is written, by the names that Unicode gives to its letters."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

# The first word of the names of a script's letters, and its code in ISO 15924.
_CODES = {
    "LATIN": "Latn",
    "FULLWIDTH": "Latn",
    "GREEK": "Grek",
    "CYRILLIC": "Cyrl",
    "ARMENIAN": "Armn",
    "GEORGIAN": "Geor",
    "HEBREW": "Hebr",
    "ARABIC": "Arab",
    "SYRIAC": "Syrc",
    "THAANA": "Thaa",
    "NKO": "Nkoo",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "GURMUKHI": "Guru",
    "GUJARATI": "Gujr",
    "ORIYA": "Orya",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "KANNADA": "Knda",
    "MALAYALAM": "Mlym",
    "SINHALA": "Sinh",
    "MEETEI": "Mtei",
    "OL": "Olck",
    "THAI": "Thai",
    "LAO": "Laoo",
    "TIBETAN": "Tibt",
    "MYANMAR": "Mymr",
    "KHMER": "Khmr",
    "JAVANESE": "Java",
    "BALINESE": "Bali",
    "SUNDANESE": "Sund",
    "TAI": "Tale",
    "LISU": "Lisu",
    "HANGUL": "Kore",
    "HIRAGANA": "Jpan",
    "KATAKANA": "Jpan",
    "HALFWIDTH": "Jpan",
    "CJK": "Hani",
    "BOPOMOFO": "Bopo",
    "YI": "Yiii",
    "MONGOLIAN": "Mong",
    "ETHIOPIC": "Ethi",
    "CHEROKEE": "Cher",
    "CANADIAN": "Cans",
    "TIFINAGH": "Tfng",
    "VAI": "Vaii",
    "BAMUM": "Bamu",
    "ADLAM": "Adlm",
    "COPTIC": "Copt",
    "GOTHIC": "Goth",
}
OTHER = "Zzzz"  # of scripts that are not listed


@lru_cache(maxsize=1 << 14)
def _script(character: str) -> str | None:
    if not character.isalpha():
        return None
    return _CODES.get(unicodedata.name(character, "").partition(" ")[0], OTHER)


def script(text: str) -> str | None:
    """ISO 15924 code of the script that most letters are of; `None` where there is none.

    Chinese characters count as Japanese where a tenth as many are Kana.
    """
    if text.isascii():
        return "Latn" if any(map(str.isalpha, text)) else None
    counted = Counter[str]()
    for character, times in Counter(text).items():
        code = _script(character)
        if code:
            counted[code] += times
    if not counted:
        return None
    if counted["Jpan"] * 10 >= counted["Hani"]:
        counted["Jpan"] += counted.pop("Hani", 0)
    return min(counted, key=lambda code: (-counted[code], code))
