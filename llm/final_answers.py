"""What of a generated answer is compared with the one expected: all of it, a number, a letter."""

from __future__ import annotations

import re
from typing import Literal

Parser = Literal["text", "number", "letter"]

# What GSM8K puts before a final answer.
FINAL = "####"
# A minus behind a digit or a word is a dash or a subtraction.
_NUMBER = re.compile(r"(?:(?<![\w)])-)?\$?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)")
# "The answer is (C)", "Answer: C".
_ANSWER = re.compile(r"\banswer(?:\s+is|\s*:)+\s*\**\(?([A-Z])\b(?!['’])", re.IGNORECASE)
_OPENING = re.compile(r"\s*\**\(?([A-Z])(?:[).:*]|\s*(?:\n|$))")
_MARKED = re.compile(r"\(([A-Z])\)|\b([A-Z])[).:]")


def parse(parser: Parser, text: str) -> str | None:
    """What counts of an answer, in a form in which equal answers are equal texts.

    "text": without the white space round it. "number": what follows the last "####", else the
    last number in it; thousands separators and a dollar sign are left out, and 18.0 is 18.
    "letter": the capital after "answer is" or "answer:" (the last such), else the one it opens
    with, else the last one in brackets or before a full stop, colon or bracket.

    Returns:
        `None` where there is no such thing in it.
    """
    if parser == "number":
        return _number(text)
    if parser == "letter":
        return _letter(text)
    return text.strip()


def _number(text: str) -> str | None:
    _, mark, behind = text.rpartition(FINAL)
    found = _NUMBER.findall(behind if mark else text)
    if not found:
        return None
    spelled = (found[0] if mark else found[-1]).replace(",", "").replace("$", "")
    whole, _, fraction = spelled.removeprefix("-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    size = f"{whole}.{fraction}" if fraction else whole
    return f"-{size}" if spelled.startswith("-") and size != "0" else size


def _letter(text: str) -> str | None:
    said = [found.group(1) for found in _ANSWER.finditer(text) if found.group(1).isupper()]
    if said:
        return said[-1]
    opening = _OPENING.match(text)
    if opening:
        return opening.group(1)
    marked = _MARKED.findall(text)
    return "".join(marked[-1]) if marked else None
