"""Texts on which encoders come apart: the same ones each time, from characters that splits and
merges treat in ways of their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

_TEXTS, _LONGEST = 1_500, 40
# Each is drawn from as a whole: a text mixes a few of these.
_CHARACTERS = (
    "etaoinshrdlu",
    "ABCXYZ",
    "0123456789",
    " ",
    " \t\n\r",
    "\r\n",
    "\n\n\n",
    "'\u2019",
    "sStTdDmM\u017f",  # behind an apostrophe: contractions; the long s is an s to some
    "KkVvRrEeLl\u212a",
    '.,;:!?()[]{}<>|/\\#$%&*+-=_~^`"@',
    "\x00\x01\x1b\x7f\x85\xa0\xad",
    "\u1680\u2000\u2009\u200b\u2028\u2029\u202f\u205f\u3000\ufeff",  # spaces, and two that are none
    "\u0301\u0308\u0327\u20e3\u093f\u0bcd",  # marks, which are no letters
    "\u00e9\u00df\u0130\u0131\ufb01\u01c5",
    "\u0434\u0416\u03a3\u03c2\u05d0\u0627\u0639",
    "\u0928\u0e01\u0e33\u1100\u1161\uac00",
    "\u4e2d\u6587\u3042\u30ab\u3005\uff21",
    "\u0663\u096a\uff15\u2167\u00bd\u2460\u3007",  # digits and numbers that are none
    "\U0001f600\U0001f468\u200d\U0001f469\ufe0f\U0001f1e9",
    "\U00010330\U0001d7d8\U0001d400\U00020000\U000e0041",
    "\ue000\uf8ff\ufdd0\uffff\ufffd\U0010ffff\u0378",  # private, none, unassigned
)
_WORDS = (
    "the", " the", "The", " and", "'s", "'S", "'LL", "'re", "'\u017f", "don't", " I'm",
    "2024", " 3.14159", "1,000,000", "https://example.org/a?b=c&d=%20", "user@example.org",
    "    return", "def f(x):", "\n\n", "\r\n\r\n", "</p>", "<|", "|>", "...", "----", "====",
    " naïve", "\u0160e", "Ἀθῆναι", "мир", "你好", "こんにちは", "한국어", "नमस्ते", "สวัสดี", "שלום",
)  # fmt: skip


@cache
def _drawn() -> tuple[str, ...]:
    draw = random.Random(20)
    texts = []
    for _ in range(_TEXTS):
        some = draw.sample(_CHARACTERS, draw.randint(1, 4))
        pieces = [
            draw.choice(_WORDS) if draw.random() < 0.3 else draw.choice(draw.choice(some))
            for _ in range(draw.randint(1, _LONGEST))
        ]
        texts.append("".join(pieces))
    runs = [draw.choice(group) * draw.randint(300, 700) for group in _CHARACTERS]
    mixed = ["".join(draw.choice("ab") for _ in range(3_000)), "ab" * 2_000, "\u4e2d\u6587" * 500]
    return ("", *texts, *runs, *mixed)


def hostile_texts(specials: Sequence[str]) -> list[str]:
    """Some 1,600 texts; the last ones spell out special tokens."""
    spelled = [
        shape.format(token) for token in specials for shape in ("{0}", "a {0} b{0}\n", "x{0}x")
    ]
    return [*_drawn(), *spelled]
