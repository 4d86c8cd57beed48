"""Languages that both language models take for a neighbour, told by what they alone have.

The evidence is that of grammars and spelling: function words, letters and clusters of letters which
none of the neighbours has. It is stated here by hand; no text was learned from.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FEWEST, LEAST_SHARE = 2, 0.05  # words of a text with a telltale, and their share of all
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SYLLABLES = re.compile(r"[\u0f40-\u0fbc]+")  # Tibetan writes no blanks, and a dot behind each
_ROMANCE = frozenset(
    {"it", "es", "oc", "lij", "vec", "lmo", "pms", "nap", "scn", "ext", "an", "fur"}
)


class _Telltales(NamedTuple):
    """What tells a language.

    Attributes:
        language: its code.
        neighbours: languages it is taken for; empty = all that are written in Cyrillic.
        words: those none of the neighbours has.
        letters: by which a word is known, one or a few together, as an expression.
    """

    language: str
    neighbours: frozenset[str]
    words: frozenset[str] = frozenset()
    letters: str = ""


def _of(language: str, neighbours: str, words: str, letters: str = "") -> _Telltales:
    named = frozenset(neighbours.split())
    known = (named | _ROMANCE if "romance" in named else named) - {language, "romance"}
    return _Telltales(language, known, frozenset(words.split()), letters)


_ALL = (
    # Ossetian alone writes æ among Cyrillic letters, Chuvash alone e with a breve and its u;
    # either may be typed as the Latin letter that looks the same.
    _of("os", "", "", "[ӕæ]"),
    _of("cv", "", "", "[ӗĕӳ]"),
    # Dative and plural suffix, copulas, "to do", "must": of Dzongkha, not of Tibetan.
    _of("dz", "bo", "ལུ ཚུ ཨིན ཨིནམ མེན འབད འབདཝ ཡོདཔ དགོཔ སྦེ"),
    # "who, which; and; for; of; that; this; not; or; because; every; so that".
    _of(
        "su",
        "jv id ms",
        "anu jeung pikeun sarta nu ku eta ieu teu henteu atawa kana keur saban sakur sangkan",
    ),
    # Manx: "the (plural), in, of, with, every, their; was, are; this, that; or".
    _of("gv", "cy en pcm ga gd kw br", "ny ayns jeh rish dagh nyn lesh va ta shoh shen gyn echey"),
    # Corsican: "has, with, are, not, this, to be, nobody, all, when"; ghj and chj are its own.
    _of(
        "co",
        "romance",
        "hà cù sò ùn issu issi issa isse chì cum'è esse micca nimu nisunu nisuna tuttu quandu",
        "ghj|chj",
    ),
    # Sardinian: "the (plural), from, all, each, this".
    _of("sc", "romance pt ca co", "sos sas dae totus totu onzi custu custa cussu issos siat"),
    # Romansh: "the (plural), of the, are, each, becomes, no, this, as"; tg ends and begins words.
    _of(
        "rm",
        "romance",
        "ils dals èn mintga vegn vegnan vegnir nagin nagina quai tranter sco duai pon",
        "tg$|^tg",
    ),
    # Occitan: "with, in, their, can, without, all, that; the (plural), of the".
    _of(
        "oc",
        "lij vec lmo pms it nap scn",
        "amb ambe dins lor pòt sens totas aquel aquela los las dels que",
    ),
    # Ido: "is, every, and, or, any, this, some, of"; Esperanto has no q, w, x and y.
    _of("io", "eo", "esas omna omni ed od irga ica ula di", "[qwxy]"),
    _of("io", "it es ext ia", "esas omna omni irga ica yuro ula"),
    # Interlingua: "each, all, this, to be, that, none, nobody".
    _of("ia", "it es pt ca oc ext ie", "cata omne iste esser ille illes nulle necun tote"),
)
_BY_NEIGHBOUR: dict[str, list[_Telltales]] = {
    name: [each for each in _ALL if name in each.neighbours]
    for name in frozenset[str]().union(*(each.neighbours for each in _ALL))
}
_CYRILLIC = [each for each in _ALL if not each.neighbours]


def told(line: str, language: str, script: str | None) -> str:
    """The language of a text that was taken for `language`: that one, or one it is told from."""
    candidates = _CYRILLIC if script == "Cyrl" else _BY_NEIGHBOUR.get(language, ())
    if not candidates:
        return language
    words = (_SYLLABLES if script == "Tibt" else _WORDS).findall(line.lower())
    counts = [(_hits(each, words), each.language) for each in candidates]
    most, best = max(counts)
    return best if most >= max(FEWEST, LEAST_SHARE * len(words)) else language


def _hits(telltales: _Telltales, words: list[str]) -> int:
    own = sum(word in telltales.words for word in words)
    if telltales.letters:
        own += sum(bool(re.search(telltales.letters, word)) for word in words)
    return own
