"""Rules that are ready: a preset for each kind of text, with the work its bounds are from.

What each removes of good texts of its kind is measured by `benchmarks/filter_presets.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tasks.stages.filter_rules import GroupChoice, PresetName, Rule


def _rule(column: str, **conditions: Any) -> Rule:
    # Not validated here: for that the model would be built by whoever imports the stages. A test
    # validates all of them.
    return Rule.model_construct(column=column, **conditions)


_BLOCKED = (
    _rule("url_blocked_domain", maximum=0.0),
    _rule("url_blocked_words", maximum=0.0),
)
_MARKS = (
    _rule("hash_word_ratio", maximum=0.1),
    _rule("ellipsis_word_ratio", maximum=0.1),
    _rule("bullet_line_fraction", maximum=0.9),
    _rule("ellipsis_line_fraction", maximum=0.3),
)
_REPEATED_LINES = (
    _rule("duplicate_line_fraction", maximum=0.3),
    _rule("duplicate_line_char_fraction", maximum=0.1),
    _rule("duplicate_paragraph_fraction", maximum=0.3),
    _rule("duplicate_paragraph_char_fraction", maximum=0.2),
)
_TOP_GRAMS = (
    _rule("top_2gram_char_fraction", maximum=0.2),
    _rule("top_3gram_char_fraction", maximum=0.18),
    _rule("top_4gram_char_fraction", maximum=0.16),
)
_GRAMS = (
    _rule("duplicate_5gram_char_fraction", maximum=0.15),
    _rule("duplicate_6gram_char_fraction", maximum=0.14),
    _rule("duplicate_7gram_char_fraction", maximum=0.13),
    _rule("duplicate_8gram_char_fraction", maximum=0.12),
    _rule("duplicate_9gram_char_fraction", maximum=0.11),
    _rule("duplicate_10gram_char_fraction", maximum=0.10),
)
_LINES = (
    _rule("terminal_punctuation_fraction", minimum=0.12),
    _rule("short_line_fraction", maximum=0.67),
    _rule("newline_word_ratio", maximum=0.3),
)

# English pages worth reading: the language rule of FineWeb, Gopher's quality and repetition
# rules (Rae et al. 2021, appendix A1.1, table A1), the line rules FineWeb adds to them
# (Penedo et al. 2024, section 3.6). FineWeb's bound on duplicate lines is the stricter one.
_WEB_EN = (
    *_BLOCKED,
    _rule("language", allowed=["en"]),
    _rule("language_score", minimum=0.65),
    _rule("word_count", minimum=50.0, maximum=100_000.0),
    _rule("mean_word_length", minimum=3.0, maximum=10.0),
    *_MARKS,
    _rule("alphabetic_word_fraction", minimum=0.8),
    _rule("stop_word_count", minimum=2.0),
    *_REPEATED_LINES,
    *_TOP_GRAMS,
    *_GRAMS,
    *_LINES,
)
# Pages in any language, as FineWeb-2 has it (Penedo et al. 2025): the same questions, with bounds
# that follow the language. Words may be as much longer or shorter than they usually are in it as
# Gopher's 3 to 10 characters are for English (5.09 in the same text); stop words are its own; the
# shortest n-grams may repeat as much as in 99 of 100 languages' Declaration of Human Rights.
_WEB_ANY = (
    *_BLOCKED,
    _rule("language_score", minimum=0.3),
    _rule("word_count", minimum=50.0, maximum=100_000.0),
    _rule("relative_word_length", minimum=0.59, maximum=1.96),
    *_MARKS,
    _rule("alphabetic_word_fraction", minimum=0.8),
    _rule("stop_word_count", minimum=2.0),
    *_REPEATED_LINES,
    *_TOP_GRAMS,
    _rule("duplicate_5gram_char_fraction", maximum=0.20),
    _rule("duplicate_6gram_char_fraction", maximum=0.17),
    _rule("duplicate_7gram_char_fraction", maximum=0.15),
    _rule("duplicate_8gram_char_fraction", maximum=0.13),
    _rule("duplicate_9gram_char_fraction", maximum=0.12),
    _rule("duplicate_10gram_char_fraction", maximum=0.10),
    *_LINES,
)
# Source files: StarCoder's bounds on lines and characters (Li et al. 2023, section 3.1).
_CODE = (
    *_BLOCKED,
    _rule("word_count", minimum=10.0),
    _rule("longest_line", maximum=1000.0),
    _rule("mean_line_length", maximum=100.0),
    _rule("alphanumeric_fraction", minimum=0.25),
    _rule("duplicate_10gram_char_fraction", maximum=0.6),
)
_MATH = (
    *_BLOCKED,
    _rule("word_count", minimum=20.0, maximum=100_000.0),
    _rule("alphabetic_word_fraction", minimum=0.3),
    _rule("alphanumeric_fraction", minimum=0.4),
    _rule("duplicate_10gram_char_fraction", maximum=0.3),
)
_BOOKS = (
    *_BLOCKED,
    _rule("word_count", minimum=20.0, maximum=2_000_000.0),
    _rule("relative_word_length", minimum=0.5, maximum=1.96),
    _rule("alphabetic_word_fraction", minimum=0.8),
    _rule("duplicate_line_char_fraction", maximum=0.3),
    _rule("duplicate_10gram_char_fraction", maximum=0.3),
)
_DOCS = (
    *_BLOCKED,
    _rule("word_count", minimum=20.0, maximum=200_000.0),
    _rule("alphabetic_word_fraction", minimum=0.5),
    _rule("alphanumeric_fraction", minimum=0.4),
    _rule("duplicate_10gram_char_fraction", maximum=0.4),
)
PRESETS: Mapping[PresetName, tuple[Rule, ...]] = MappingProxyType(
    {
        "web-en": _WEB_EN,
        "web-any": _WEB_ANY,
        "code": _CODE,
        "math": _MATH,
        "books-and-dialogue": _BOOKS,
        "docs": _DOCS,
    }
)


def rules_of(groups: Sequence[GroupChoice], rules: Sequence[Rule]) -> list[Rule]:
    """All rules in the order they apply: those stated for all documents, then each group's.

    A rule that is stated for a group takes the place of the preset's of the same name.
    """
    found = [rule for rule in rules if not rule.group]
    for group in groups:
        stated = {rule.label: rule for rule in rules if rule.group == group.label}
        for ready in PRESETS[group.preset] if group.preset else ():
            own = ready.model_copy(update={"group": group.label})
            found.append(stated.pop(ready.label, own))
        found += stated.values()
    return found
