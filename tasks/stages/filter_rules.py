"""A rule of `filter` as a recipe states it, and which documents a preset's rules are for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from llm.corpus.filter import rules as filtering
from llm.corpus.filter.groups import Group
from tasks.engine.config import Part, added
from tasks.stages.filter_text import (
    GROUP_FORMS,
    RULE_FORMS,
    group_fields,
    group_line,
    rule_fields,
    rule_line,
)

PresetName = Literal["web-en", "web-any", "code", "math", "books-and-dialogue", "docs"]


class Line(Part):
    """A part that may be stated in one line, and is one in forms."""

    @abstractmethod
    def line(self) -> str:
        """The line that says all of it."""

    @classmethod
    @abstractmethod
    def fields_of(cls, line: str) -> dict[str, Any]:
        """The fields a line states.

        Raises:
            ValueError: it states none.
        """

    @classmethod
    @abstractmethod
    def forms(cls) -> str:
        """How a line may read."""

    @model_validator(mode="before")
    @classmethod
    def _from_line(cls, values: Any) -> Any:
        return cls.fields_of(values) if isinstance(values, str) else values

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A text: what forms show."""
        return {"type": "string", "title": cls.__name__, "description": cls.forms()}

    def stated(self) -> dict[str, Any]:
        """The fields that are not at their defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Rule(Line):
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
    group: str = added(
        "", "The one group of documents it is for, by its name; empty = all documents."
    )

    def line(self) -> str:
        return rule_line(self.stated())

    @classmethod
    def fields_of(cls, line: str) -> dict[str, Any]:
        return rule_fields(line)

    @classmethod
    def forms(cls) -> str:
        return RULE_FORMS

    @property
    def label(self) -> str:
        """What it is called among the rules of its group."""
        return self.name or self.column

    @property
    def reason(self) -> str:
        """What a document removed by it is recorded under."""
        return f"{self.group}/{self.label}" if self.group else self.label

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
        if self.group and self.keep_fraction is not None:
            raise ValueError(
                f"rule on {self.column!r}: keep_fraction counts over all documents, so a rule of "
                "a group cannot have it; leave group out, or give minimum"
            )
        return self


class GroupChoice(Line):
    """Some of the documents, and the rules they have to meet. Without conditions: all others."""

    preset: PresetName | Literal[""] = Field(
        "", description="Rules that are ready; empty = those under rules that name this group."
    )
    name: str = Field(
        "",
        description="What rules and reasons call it; empty = as the preset.",
        pattern=r"^[A-Za-z0-9_-]*$",
    )
    sources: list[str] = Field([], description="Names of sources whose documents are in it.")
    page_types: list[str] = Field(
        [], description="Kinds of pages that are in it, as clean tells them: article, forum, ..."
    )
    languages: list[str] = Field([], description="Codes of languages that are in it.")

    def line(self) -> str:
        return group_line(self.stated())

    @classmethod
    def fields_of(cls, line: str) -> dict[str, Any]:
        return group_fields(line)

    @classmethod
    def forms(cls) -> str:
        return GROUP_FORMS

    @property
    def label(self) -> str:
        """Its name."""
        return self.name or self.preset

    @model_validator(mode="after")
    def _has_a_name(self) -> GroupChoice:
        if not self.label:
            raise ValueError("a group needs a preset or a name")
        return self


def plain_groups(groups: Sequence[GroupChoice]) -> list[Group]:
    """The groups as the library takes them."""
    return [
        Group(group.label, tuple(group.sources), tuple(group.page_types), tuple(group.languages))
        for group in groups
    ]


def plain_rules(rules: Sequence[Rule], groups: Sequence[GroupChoice] = ()) -> list[filtering.Rule]:
    """The rules as the library takes them.

    Args:
        groups: of which rules name theirs.
    """
    places = {group.label: place for place, group in enumerate(groups)}
    return [
        filtering.Rule(
            name=rule.reason,
            column=rule.column,
            minimum=rule.minimum,
            maximum=rule.maximum,
            allowed=tuple(rule.allowed),
            keep_fraction=rule.keep_fraction,
            group=places[rule.group] if rule.group else None,
        )
        for rule in rules
    ]
