"""A rule of `filter` as a recipe states it, and the rules it has where a recipe states none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from llm.corpus.filter import rules as filtering
from tasks.engine.config import Part


class Rule(Part):
    """A condition on one column of the attributes that a document must meet to be kept."""

    column: str = Field(description="Column of the attributes.", min_length=1)
    minimum: float | None = Field(default=None, description="Smaller values are removed.")
    maximum: float | None = Field(default=None, description="Greater values are removed.")
    allowed: list[str] = Field(
        default=[], description="Values kept of a text column, such as languages."
    )
    keep_fraction: float | None = Field(
        default=None,
        description="Keep this share of all documents, those of highest value.",
        gt=0,
        le=1,
    )
    name: str = Field(
        default="", description="Reason recorded for removed documents; empty = column."
    )

    @property
    def reason(self) -> str:
        """What a document removed by it is recorded under."""
        return self.name or self.column

    @model_validator(mode="after")
    def _states_one_thing(self) -> Rule:
        bounded = self.minimum is not None or self.maximum is not None
        if sum((bounded, bool(self.allowed), self.keep_fraction is not None)) != 1:
            raise ValueError(
                f"rule on {self.column!r}: give minimum and/or maximum, or allowed, or "
                "keep_fraction, and no two of them"
            )
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"rule on {self.column!r}: minimum is greater than maximum")
        return self


def _rule(column: str, **conditions: Any) -> Rule:
    # Not validated here: for that the model would be built by whoever imports the stages. A test
    # validates all of them.
    return Rule.model_construct(column=column, **conditions)


# English pages worth reading: the language rule of FineWeb, Gopher's quality and repetition
# rules (Rae et al. 2021, appendix A1.1, table A1), the line rules FineWeb adds to them
# (Penedo et al. 2024, section 3.6). FineWeb's bound on duplicate lines is the stricter one.
GOPHER_FINEWEB = (
    _rule("url_blocked_domain", maximum=0.0),
    _rule("url_blocked_words", maximum=0.0),
    _rule("language", allowed=["en"]),
    _rule("language_score", minimum=0.65),
    _rule("word_count", minimum=50.0, maximum=100_000.0),
    _rule("mean_word_length", minimum=3.0, maximum=10.0),
    _rule("hash_word_ratio", maximum=0.1),
    _rule("ellipsis_word_ratio", maximum=0.1),
    _rule("bullet_line_fraction", maximum=0.9),
    _rule("ellipsis_line_fraction", maximum=0.3),
    _rule("alphabetic_word_fraction", minimum=0.8),
    _rule("stop_word_count", minimum=2.0),
    _rule("duplicate_line_fraction", maximum=0.3),
    _rule("duplicate_line_char_fraction", maximum=0.1),
    _rule("duplicate_paragraph_fraction", maximum=0.3),
    _rule("duplicate_paragraph_char_fraction", maximum=0.2),
    _rule("top_2gram_char_fraction", maximum=0.2),
    _rule("top_3gram_char_fraction", maximum=0.18),
    _rule("top_4gram_char_fraction", maximum=0.16),
    _rule("duplicate_5gram_char_fraction", maximum=0.15),
    _rule("duplicate_6gram_char_fraction", maximum=0.14),
    _rule("duplicate_7gram_char_fraction", maximum=0.13),
    _rule("duplicate_8gram_char_fraction", maximum=0.12),
    _rule("duplicate_9gram_char_fraction", maximum=0.11),
    _rule("duplicate_10gram_char_fraction", maximum=0.10),
    _rule("terminal_punctuation_fraction", minimum=0.12),
    _rule("short_line_fraction", maximum=0.67),
    _rule("newline_word_ratio", maximum=0.3),
)


def plain_rules(rules: Sequence[Rule]) -> list[filtering.Rule]:
    """The rules as the library takes them."""
    return [
        filtering.Rule(
            name=rule.reason,
            column=rule.column,
            minimum=rule.minimum,
            maximum=rule.maximum,
            allowed=tuple(rule.allowed),
            keep_fraction=rule.keep_fraction,
        )
        for rule in rules
    ]
