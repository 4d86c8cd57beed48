"""Texts and conversations on which two readers of one tokenizer are most likely to differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm.tokens.special_tokens import END_OF_TEXT, PAD, TURN_END, TURN_START

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
