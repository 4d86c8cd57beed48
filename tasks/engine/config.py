"""What every stage config is made of.

A config is flat, frozen and closed (an unknown field is an error), so that the
same class is the YAML schema, the Prefect form and the identity of the stage.
Fields declared with `execution(...)` say *how* to run (workers, device, paths)
and never enter identity; those declared with `added(...)` enter it once they are
set to something; all others do.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from tasks.engine.form import form_schema

_MARK, _NEUTRAL = "execution", "neutral"
_SCIENTIFIC = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")


def execution(default: Any, description: str, **bounds: Any) -> Any:
    """A field that cannot change the result: left out of identity, shown in its own group."""
    return Field(default, description=description, json_schema_extra={_MARK: True}, **bounds)


def added(neutral: Any, description: str, **bounds: Any) -> Any:
    """A field that came with a later version of its stage.

    At its neutral value, which is its default, the stage does what it did before there was the
    field, and its identity is what it was: an update of Ingot makes nobody's artifacts stale.
    Any other value enters identity.
    """
    return Field(neutral, description=description, json_schema_extra={_NEUTRAL: True}, **bounds)


def _identity(model: BaseModel) -> dict[str, Any]:
    kept = {}
    for name, field in type(model).model_fields.items():
        extra = field.json_schema_extra
        marks = extra if isinstance(extra, dict) else {}
        value = getattr(model, name)
        if marks.get(_MARK) or (marks.get(_NEUTRAL) and value == field.get_default()):
            continue
        kept[name] = _plain(value)
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _identity(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _kinds(annotation: Any) -> set[Any]:
    """A type and those it is made of: of `list[int] | None` int, list[int] and None too."""
    return {annotation}.union(*(_kinds(inner) for inner in get_args(annotation)))


def _whole(value: Any) -> Any:
    """The number a text such as 1e6 spells out, where it is a whole one; else what was given."""
    if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        number = float(value)
        return int(number) if number.is_integer() else value
    return value


class _Settings(BaseModel):
    """What a config and its parts have in common."""

    # Built when first asked for: a command or a worker needs few of all that it imports.
    # Defaults are validated too: 60 and 60.0 would be two identities of one setting. Infinity
    # and NaN have no canonical form, and no setting means them.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True
    )

    def identity(self) -> dict[str, Any]:
        """The fields that decide the result, as plain JSON values, nested models included."""
        return _identity(self)

    @field_validator("*", mode="before")
    @classmethod
    def _means_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """True is no 1, and 1e6, which YAML 1.1 takes for a text, is a million."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if bool not in kinds and kinds & {int, float}:
            items = value if isinstance(value, (list, tuple)) else (value,)
            # Of the errors that Pydantic turns into its own, a TypeError is none.
            if any(isinstance(item, bool) for item in items):
                raise ValueError("a number was expected, not true or false")
        if int in kinds and str not in kinds:
            if isinstance(value, (list, tuple)):
                return [_whole(item) for item in value]
            return _whole(value)
        return value

    @field_validator("*")
    @classmethod
    def _fits_64_bits(cls, value: Any) -> Any:
        """Whatever the numbers end in, tables, arrays or C, has no more."""
        for number in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(number, int) and not -(2**63) <= number < 2**63:
                raise ValueError("a number that 64 bits do not hold")
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The schema laid out for forms."""
        made = handler(core_schema)
        form_schema(cls, handler.resolve_ref_schema(made))
        return made


class Part(_Settings):
    """A small model used inside a config, in lists (a source, a mixture weight)."""


class StageConfig(_Settings):
    """Parent of every stage's config."""

    pool: str = execution(
        "", "Work pool to run on; empty = in the process of the flow that calls the stage."
    )

    def spelled_out(self) -> Self:
        """The same settings with nothing left to ready-made ones: every item can be set by itself.

        It decides the same results; its identity may be another.
        """
        return self

    def in_form(self) -> dict[str, Any]:
        """The settings as a form shows them, which may be shorter than they are."""
        return self.model_dump(mode="json")

    def execution(self) -> dict[str, Any]:
        """The top-level fields that do not, for the manifest's record of the run."""
        fields = type(self).model_fields
        marked = {
            name
            for name, field in fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get(_MARK)
        }
        return self.model_dump(mode="json", include=marked)


class ShardedConfig(StageConfig):
    """A config whose stage maps a function over input parts."""

    executor: Literal["processes", "dask", "ray"] = execution(
        "processes", "Where shards are built: processes of this machine, or a cluster of an engine."
    )
    cluster: str = execution(
        "",
        "Address of that cluster (tcp://host:8786 of dask; auto or ray://host:10001 of ray); "
        "empty = one on this machine, for this stage.",
        max_length=200,
    )
    workers: int = execution(
        0,
        "Worker processes; 0 = one per core. Of a cluster elsewhere: at most so many shards at "
        "once; 0 = as many as it can.",
        ge=0,
        le=1024,
    )
    max_failed_shards: int = execution(
        0, "Shards that may fail (each tried twice) before the stage does.", ge=0
    )

    @model_validator(mode="after")
    def _of_an_engine(self) -> Self:
        if self.cluster and self.executor == "processes":
            raise ValueError(
                f"cluster is {self.cluster}, but executor is processes of this machine: set "
                "executor to dask or ray"
            )
        return self
