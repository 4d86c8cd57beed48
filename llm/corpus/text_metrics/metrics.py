"""Surface statistics and repetition of texts, a column a metric, from what is counted in them.

References: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from
Training Gopher", appendix A1.1 (quality filtering, repetition removal); Raffel et al. 2020,
section 2.2 (C4); Penedo et al. 2024, "The FineWeb Datasets", section 3.6; Li et al. 2023,
"StarCoder", section 3.1 (lines of code). Only numbers are computed here; what they lead to is a
matter of thresholds in the filter stage.

A fraction or ratio whose denominator is 0 is 0.

* word_count: words. mean_word_length, longest_word: characters of words.
* hash_word_ratio, ellipsis_word_ratio: number of `#`, of `...` and `…`, / words.
* bullet_line_fraction: lines that start with a bullet (`BULLETS`, or a dash or asterisk followed
  by a space). ellipsis_line_fraction: lines that end with an ellipsis.
* alphabetic_word_fraction: words with at least one letter of any script.
* stop_word_count: how many of the stop words of the text's language occur, regardless of case and
  of punctuation around the word; null where there is no list for it.
* relative_word_length: mean_word_length / what it is in the language (in a text that all languages
  have); null where that is not known.
* line_count, paragraph_count: lines and paragraphs that are not empty.
* terminal_punctuation_fraction: lines whose last character ends a sentence; null in languages that
  end theirs with a blank.
* short_line_fraction: lines of at most 30 characters. mean_line_length, longest_line: characters
  of lines.
* newline_word_ratio: newline characters / words.
* alphanumeric_fraction: letters and digits of all characters, white space included.
* duplicate_line_fraction and the rest: see `repetition`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.corpus.text_metrics.repetition import DUPLICATE_NGRAMS, TOP_NGRAMS
from llm.corpus.text_metrics.text_counts import COUNTS, NO_LIST

_INTEGER, _REAL = pa.int32(), pa.float64()
HEURISTICS: Mapping[str, pa.DataType] = {
    "word_count": _INTEGER,
    "mean_word_length": _REAL,
    "hash_word_ratio": _REAL,
    "ellipsis_word_ratio": _REAL,
    "bullet_line_fraction": _REAL,
    "ellipsis_line_fraction": _REAL,
    "alphabetic_word_fraction": _REAL,
    "stop_word_count": _INTEGER,
    "line_count": _INTEGER,
    "paragraph_count": _INTEGER,
    "terminal_punctuation_fraction": _REAL,
    "short_line_fraction": _REAL,
    "newline_word_ratio": _REAL,
    "relative_word_length": _REAL,
    "longest_word": _INTEGER,
    "mean_line_length": _REAL,
    "longest_line": _INTEGER,
    "alphanumeric_fraction": _REAL,
}
REPETITION: Mapping[str, pa.DataType] = {
    "duplicate_line_fraction": _REAL,
    "duplicate_line_char_fraction": _REAL,
    "duplicate_paragraph_fraction": _REAL,
    "duplicate_paragraph_char_fraction": _REAL,
    **{f"top_{n}gram_char_fraction": _REAL for n in TOP_NGRAMS},
    **{f"duplicate_{n}gram_char_fraction": _REAL for n in DUPLICATE_NGRAMS},
}
# Null where the language is not known, or nothing of it.
BY_LANGUAGE = ("stop_word_count", "relative_word_length", "terminal_punctuation_fraction")


def metrics(
    counts: NDArray[np.int64], word_lengths: NDArray[np.float64], full_stops: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Columns of `HEURISTICS` and `REPETITION`, of as many texts.

    Args:
        counts: int64 (texts, COUNTS), of `text_counts`.
        word_lengths: float64 (texts,), of each one's language; NaN = not known.
        full_stops: bool (texts,): whether its language ends sentences with a mark.
    """
    of = dict(zip(COUNTS, counts.T, strict=True))
    words, lines, paragraphs = of["words"], of["lines"], of["paragraphs"]
    shares = {
        "mean_word_length": (of["word_chars"], words),
        "hash_word_ratio": (of["hashes"], words),
        "ellipsis_word_ratio": (of["ellipses"], words),
        "bullet_line_fraction": (of["bullets"], lines),
        "ellipsis_line_fraction": (of["ellipsis_ends"], lines),
        "alphabetic_word_fraction": (of["alphabetic"], words),
        "terminal_punctuation_fraction": (of["terminal"], lines),
        "short_line_fraction": (of["short"], lines),
        "newline_word_ratio": (of["newlines"], words),
        "mean_line_length": (of["line_chars"], lines),
        "alphanumeric_fraction": (of["alphanumeric"], of["chars"]),
        "duplicate_line_fraction": (of["same_lines"], lines),
        "duplicate_line_char_fraction": (of["same_line_chars"], of["line_chars"]),
        "duplicate_paragraph_fraction": (of["same_paragraphs"], paragraphs),
        "duplicate_paragraph_char_fraction": (of["same_paragraph_chars"], of["paragraph_chars"]),
        **{f"top_{n}gram_char_fraction": (of[f"gram_{n}_chars"], of["word_chars"])
           for n in TOP_NGRAMS},
        **{f"duplicate_{n}gram_char_fraction": (of[f"gram_{n}_chars"], of["word_chars"])
           for n in DUPLICATE_NGRAMS},
    }  # fmt: skip
    columns = {name: share / np.maximum(whole, 1) for name, (share, whole) in shares.items()}
    columns |= {
        "word_count": words,
        "line_count": lines,
        "paragraph_count": paragraphs,
        "longest_word": of["longest_word"],
        "longest_line": of["longest_line"],
    }
    unknown = of["stop_words"] == NO_LIST
    relative = columns["mean_word_length"] / word_lengths
    found = {
        "stop_word_count": pa.array(of["stop_words"], _INTEGER, mask=unknown),
        "relative_word_length": pa.array(relative, _REAL, mask=np.isnan(word_lengths)),
        "terminal_punctuation_fraction": pa.array(
            columns["terminal_punctuation_fraction"], _REAL, mask=~full_stops
        ),
    }
    for name, kind in (*HEURISTICS.items(), *REPETITION.items()):
        if name not in found:
            found[name] = pa.array(columns[name], kind)
    return found
