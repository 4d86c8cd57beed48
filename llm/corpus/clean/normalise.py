"""What is done to every extracted text, whatever the engine, and nothing more."""

from __future__ import annotations

import re

# C0 and C1 controls but tab and newline: no text needs them, tokenizers waste merges on them.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_NEWLINES = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# The look-behind keeps a long run of spaces within a line from being tried from each of them.
_TRAILING = re.compile(r"(?<![^\S\n])[^\S\n]+$", re.MULTILINE)
_BLANKS = re.compile(r"\n{4,}")


def normalise(text: str, blank_lines: bool = False) -> str:
    """The text with uniform line ends and no invisible rubbish. Idempotent. In this order:

    1. CR LF, CR, vertical tab, form feed, NEL, LINE and PARAGRAPH SEPARATOR become a newline;
    2. the other control characters (Unicode Cc), NUL among them, are dropped, save tab;
    3. lone surrogates, which UTF-8 cannot hold, become U+FFFD;
    4. white space at the end of a line is dropped;
    5. more than two blank lines in a row become two;
    6. newlines at the beginning and the end of the text are dropped.

    Args:
        blank_lines: keep runs of blank lines (5) as they are; for text whose only ones are those
            of listings.

    Indentation, inner spaces, letter case and Unicode normalisation form are left alone.
    """
    text = _NEWLINES.sub("\n", text)
    text = _CONTROLS.sub("", text)
    text = _SURROGATES.sub("\ufffd", text)
    text = _TRAILING.sub("", text)
    if not blank_lines:
        text = _BLANKS.sub("\n\n\n", text)
    return text.strip("\n")
