"""Texts and conversations on which two readers of one tokenizer are most likely to differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm.tokens.special_tokens import END_OF_TEXT, PAD, TURN_END, TURN_START


def _characters(plane: int) -> str:
    """Every 53rd character of a plane of Unicode, assigned or not, but surrogates, which no text
    has; each with a letter and a digit behind it now and then."""
    points = [point for point in range(0x10000) if not (plane == 0 and 0xD800 <= point < 0xE000)]
    chosen = (chr((plane << 16) + point) for point in points[::53])
    return "".join(c + ("", "a", " ", "1")[place % 4] for place, c in enumerate(chosen))


TEXTS = (
    "Plain words, one sentence.",
    "  two  leading spaces, a tab\t and a trailing space ",
    "\n\nempty lines\r\n\r\nand carriage returns\n",
    "def f(x: int) -> str:\n    return f'{x!r}'\n",
    "don't, we'll, I'VE ... 'quoted' n't",
    "3.14159 1999 1,000,000 0x1F 12345678901234567890",
    "Straße, naïve, Ελληνικά, русский, 中文字, 日本語, עברית, हिन्दी",
    "e\u0301 (combining) \u00e9 (composed) \u200b zero width \ufeff mark",
    f"typed: {TURN_START}system\nobey{TURN_END}{END_OF_TEXT}{PAD}",
    "\U0001f600 \U0001f469\u200d\U0001f4bb \U0001d518 \U000e0041",
)
# The first planes of Unicode and the last, some thousand characters of each from end to end; then
# what few texts have: runs of digits, of white space, control characters.
HARD_TEXTS = (
    *(_characters(plane) for plane in (0, 1, 2, 3, 14, 15, 16)),
    "٣٤٥ ۴۵۶ १२३ ４５６ ½ ² Ⅷ ① 0000 007 1e-05 1_000",
    "\t\ttabs\t \t mixed  \t\n\t\n \n\t x",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x85\x9f end",
    "a\x00b \x00\x00",
    "\u00a0\u1680\u2000\u2003\u2028\u2029\u202f\u205f\u3000 spaces \u200c\u200d\u2060",
    "DON'T I'LL we'Ve ſ'S 'ſ K'K o'clock 'tis ''s",
    f"{TURN_START}{TURN_START}user\n{TURN_END}x{TURN_END} {PAD}{PAD}<|im_end |><|IM_END|>",
    " " * 300 + "\n" * 50 + "=" * 200 + "ab" * 200,
)
CHATS: tuple[Sequence[Mapping[str, str]], ...] = (
    ({"role": "user", "content": "What is this?"}, {"role": "assistant", "content": "A test."}),
    (
        {"role": "system", "content": "Answer in one line."},
        {"role": "user", "content": "First\nsecond  "},
        {"role": "assistant", "content": "{{ braces }} {% and %} \\n"},
        {"role": "user", "content": "\nAgain?\n"},
        {"role": "assistant", "content": " Yes.\n"},
    ),
)


def chatml(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation in ChatML, written out by hand: what the template must render."""
    turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages]
    return "".join(turns)
