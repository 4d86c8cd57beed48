"""Surface statistics of a text: Gopher's quality filters and the line metrics of C4 and FineWeb.

References: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from
Training Gopher", appendix A1.1 (quality filtering); Raffel et al. 2020, section 2.2 (C4);
Penedo et al. 2024, "The FineWeb Datasets", section 3.6. Only numbers are computed here;
what they lead to is a matter of thresholds in the filter stage.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llm.corpus.annotate.segmentation import Segments

# Gopher's eight; a document must hold at least two of them.
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
# Marks that open a list item by themselves, and those that do before a space.
BULLETS = ("•", "‣", "▪", "■", "●", "○", "◦", "▶", "►", "·")
DASHES = ("- ", "* ", "– ", "— ", "-\t", "*\t")
# Sentence ends of the larger scripts; quotes, because C4 accepts a line that closes one.
TERMINAL_PUNCTUATION = (
    ".",
    "!",
    "?",
    "…",
    "。",
    "！",
    "？",
    "｡",
    "؟",
    "۔",
    "।",
    "॥",
    "።",
    "։",
    '"',
    "”",
)
ELLIPSES = ("...", "…")
SHORT_LINE = 30

_LETTER = re.compile(r"[^\W\d_]")
_EDGES = "\"'`.,;:!?()[]{}<>*_“”‘’«»…-"


class Heuristics(NamedTuple):
    """Statistics of one text. A fraction or ratio whose denominator is 0 is 0.

    Attributes:
        word_count: words.
        mean_word_length: characters in words / words.
        hash_word_ratio: number of `#` / words.
        ellipsis_word_ratio: number of `...` and `…` / words.
        bullet_line_fraction: share of lines that start with a bullet (`BULLETS`, or a dash or
            asterisk followed by a space).
        ellipsis_line_fraction: share of lines that end with an ellipsis.
        alphabetic_word_fraction: share of words with at least one letter of any script.
        stop_word_count: how many of the eight `STOP_WORDS` occur, regardless of case and of
            punctuation around the word.
        line_count, paragraph_count: lines and paragraphs that are not empty.
        terminal_punctuation_fraction: share of lines whose last character ends a sentence.
        short_line_fraction: share of lines of at most 30 characters.
        newline_word_ratio: newline characters / words.
    """

    word_count: int
    mean_word_length: float
    hash_word_ratio: float
    ellipsis_word_ratio: float
    bullet_line_fraction: float
    ellipsis_line_fraction: float
    alphabetic_word_fraction: float
    stop_word_count: int
    line_count: int
    paragraph_count: int
    terminal_punctuation_fraction: float
    short_line_fraction: float
    newline_word_ratio: float


def heuristics(segments: Segments) -> Heuristics:
    """The statistics of one text; see `Heuristics` for each definition."""
    text, lines = segments.text, segments.lines
    words, line_count = segments.words, len(lines)
    per_word, per_line = max(words, 1), max(line_count, 1)
    counts = segments.counts.tolist()
    alphabetic = 0
    for word, count in zip(segments.vocabulary, counts, strict=True):
        if word.isalpha() or _LETTER.search(word):
            alphabetic += count
    stripped = {word.strip(_EDGES).lower() for word in segments.vocabulary}
    bullets = sum(line.startswith(BULLETS) or line.startswith(DASHES) for line in lines)
    return Heuristics(
        word_count=words,
        mean_word_length=segments.word_characters / per_word,
        hash_word_ratio=text.count("#") / per_word,
        ellipsis_word_ratio=sum(text.count(mark) for mark in ELLIPSES) / per_word,
        bullet_line_fraction=bullets / per_line,
        ellipsis_line_fraction=sum(line.endswith(ELLIPSES) for line in lines) / per_line,
        alphabetic_word_fraction=alphabetic / per_word,
        stop_word_count=len(stripped & STOP_WORDS),
        line_count=line_count,
        paragraph_count=len(segments.paragraphs),
        terminal_punctuation_fraction=(
            sum(line.endswith(TERMINAL_PUNCTUATION) for line in lines) / per_line
        ),
        short_line_fraction=sum(len(line) <= SHORT_LINE for line in lines) / per_line,
        newline_word_ratio=text.count("\n") / per_word,
    )
