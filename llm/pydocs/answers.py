"""Questions about a definition, and the answer its docstring gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import xxhash

from llm.pydocs.pages import Definition

_FEWEST_WORDS = 3  # of a first paragraph; shorter ones are titles ("Aliases") or types
_SENTENCE_END = re.compile(r"[.!?][\"')\]`]*(?=\s+[A-Z0-9\"'(\[`*]|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|resp|approx|Eq|Fig|No|Dr|Mr|St)|\b[A-Z])\.$")
_WHOLE = re.compile(r".*[.!?][\"')\]`]*", re.DOTALL)
_PROSE = re.compile(r"[\"'`(\[]?\w")
_LONGEST_ABBREVIATION = 8
# What looks like code, a parameter, a field of reStructuredText, a signature, or a licence.
_NOT_PROSE = re.compile(r"(?:>>>|\.\.\s|:\w+|\w+\s*(?:=|:\s)|@|Copyright\b)|\w[\w.]*\([^)]*\)\s*$")
_CALL, _RETURNS = re.compile(r"\S\("), re.compile(r"\)\s*->")

_ANY = ("What is {name} for?", "Explain {name}.", "Can you describe {name}?")
_QUESTIONS: Mapping[str, Sequence[str]] = {
    "module": ("What is the module {name} for?", "What does the module {name} offer?", *_ANY),
    "class": ("What is the class {name}?", "Describe the class {name}.", *_ANY),
    "function": (
        "What does {name} do?",
        "What does {name}{signature} do?",
        "What does the function {name}{signature} do?",
        "Explain what {name}{signature} does.",
        "When would I call {name}{signature}?",
        *_ANY,
    ),
    "method": (
        "What does {name} do?",
        "What does {name}{signature} do?",
        "What does the method {name}{signature} do?",
        "Explain what {name}{signature} does.",
        "When would I call {name}{signature}?",
        *_ANY,
    ),
    "attribute": ("What is {name}?", "What does {name} hold?", *_ANY),
}


def question(definition: Definition, seed: int) -> str:
    """A question about a definition; which of several wordings, a hash of its name decides."""
    wordings = _QUESTIONS[definition.kind]
    point = xxhash.xxh3_64_intdigest(f"{seed}:question:{definition.name}".encode())
    chosen = wordings[point % len(wordings)]
    return chosen.format(name=definition.name, signature=definition.signature)


def answer(definition: Definition, max_chars: int) -> str | None:
    """The prose a docstring begins with, up to the first list, code, title or `max_chars`.

    The first paragraph may lack a full stop, later ones end a sentence. What is too long is cut
    behind the last sentence that fits.

    Returns:
        `None` where the docstring does not begin with prose, or its first sentence is too long.
    """
    taken = ""
    for number, paragraph in enumerate(_skip_own_name(definition)):
        text = paragraph.strip()
        if not _is_prose(text) or (number and not _WHOLE.fullmatch(text)):
            break
        if not number and (text.endswith((":", ",")) or len(text.split()) < _FEWEST_WORDS):
            break
        longer = f"{taken}\n\n{text}" if taken else text
        if len(longer) > max_chars:
            room = max_chars - len(longer) + len(text)
            sentences = text[: _last_end(text, room)]
            taken = f"{taken}\n\n{sentences}" if taken and sentences else taken or sentences
            break
        taken = longer
    return taken or None


def _skip_own_name(definition: Definition) -> Sequence[str]:
    """Paragraphs without the definition's name or call that some docstrings begin with."""
    last = re.escape(definition.name.rpartition(".")[2])
    own = re.compile(rf"{re.escape(definition.name)}|(?:\w+\.)*{last}\s*\(.*", re.DOTALL)
    paragraphs = definition.paragraphs
    while paragraphs and own.fullmatch(paragraphs[0].strip()):
        paragraphs = paragraphs[1:]
    return paragraphs


def _is_prose(text: str) -> bool:
    if "\n" in text or not _PROSE.match(text) or _NOT_PROSE.match(text):
        return False
    # The first call and any arrow behind it: to look behind every call would be quadratic.
    call = _CALL.search(text)
    return call is None or not _RETURNS.search(text, call.end())


def _last_end(text: str, room: int) -> int:
    """Where the last sentence of `text` that ends within `room` characters ends, or 0."""
    last = 0
    for match in _SENTENCE_END.finditer(text):
        if match.end() > room:
            break
        end = match.start() + 1
        if not _ABBREVIATION.search(text, max(0, end - _LONGEST_ABBREVIATION), end):
            last = match.end()
    return last
