"""datatrove's filters on texts, for `filter.py`; runs in the environment that has datatrove.

python filter_peer.py TEXTS.json spacy|spaces
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)

_QUALITY = {
    "word_count": {"min_doc_words": 50, "max_doc_words": 100_000},
    "mean_word_length": {"min_avg_word_length": 3, "max_avg_word_length": 10},
    "symbol_word_ratio": {"max_symbol_word_ratio": 0.1},
    "bullet_line_fraction": {"max_bullet_lines_ratio": 0.9},
    "ellipsis_line_fraction": {"max_ellipsis_lines_ratio": 0.3},
    "alphabetic_word_fraction": {"max_non_alpha_words_ratio": 0.8},
    "stop_word_count": {"min_stop_words": 2},
}
_REPETITION: dict[str, dict[str, Any]] = {
    "duplicate_line_fraction": {"dup_line_frac": 0.3},
    "duplicate_line_char_fraction": {"dup_line_char_frac": 0.1},
    "duplicate_paragraph_fraction": {"dup_para_frac": 0.3},
    "duplicate_paragraph_char_fraction": {"dup_para_char_frac": 0.2},
    **{
        f"top_{n}gram_char_fraction": {"top_n_grams": ((n, share),)}
        for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))
    },
    **{
        f"duplicate_{n}gram_char_fraction": {"dup_n_grams": ((n, 0.2 - 0.01 * n),)}
        for n in range(5, 11)
    },
}
_LINES = {
    "terminal_punctuation_fraction": {"line_punct_thr": 0.12},
    "short_line_fraction": {"short_line_thr": 0.67},
    "newline_word_ratio": {"new_line_ratio": 0.3},
}
_NO_QUALITY = dict.fromkeys(
    ("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length",
     "max_symbol_word_ratio", "max_bullet_lines_ratio", "max_ellipsis_lines_ratio",
     "max_non_alpha_words_ratio", "min_stop_words")
)  # fmt: skip
_NO_REPETITION: dict[str, Any] = {
    **dict.fromkeys(("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")),
    "top_n_grams": (),
    "dup_n_grams": (),
}
_NO_LINES = {
    "line_punct_thr": -1.0,
    "short_line_thr": 2.0,
    "char_duplicates_ratio": 2.0,
    "new_line_ratio": 1e9,
}


def _at_spaces(text: str, language: str) -> list[str]:
    return text.split()


def _removes(step: Any, document: Document) -> bool:
    return step.filter(document) is not True


def main() -> None:
    """Print one line of JSON: seconds of the cascade, what it keeps, and each rule's decisions."""
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    modules = (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter)
    cut = modules[0].split_into_words
    if sys.argv[2] == "spaces":
        cut = _at_spaces
    for module in modules:
        module.split_into_words = cut
    documents = [Document(text=text, id=str(place)) for place, text in enumerate(texts)]
    # The bounds of the preset: FineWeb takes 0.1 for its repeated lines, on which Gopher's agree.
    cascade = [
        GopherRepetitionFilter(dup_line_char_frac=0.1),
        GopherQualityFilter(),
        FineWebQualityFilter(char_duplicates_ratio=0.1),
    ]
    _removes(cascade[0], Document(text="Words to load what cuts words.", id="first"))
    started = time.process_time()
    kept = [not any(_removes(step, document) for step in cascade) for document in documents]
    seconds = time.process_time() - started
    # What is not timed need not cut every text once a rule.
    words = {document.text: cut(document.text, "eng") for document in documents}
    for module in modules:
        module.split_into_words = lambda text, language: words[text]
    single = {
        **{name: GopherQualityFilter(**{**_NO_QUALITY, **how}) for name, how in _QUALITY.items()},
        **{
            name: GopherRepetitionFilter(**{**_NO_REPETITION, **how})
            for name, how in _REPETITION.items()
        },
        **{name: FineWebQualityFilter(**{**_NO_LINES, **how}) for name, how in _LINES.items()},
    }
    alone = {name: [_removes(step, d) for d in documents] for name, step in single.items()}
    versions = {name: version(name) for name in ("datatrove", "spacy")}
    print(json.dumps({"seconds": seconds, "kept": kept, "alone": alone, "versions": versions}))


if __name__ == "__main__":
    main()
