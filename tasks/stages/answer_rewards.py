"""What an answer can be rewarded for, as configs say it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from llm.alignment.rewards.rollout import RewardSettingError
from llm.alignment.rewards.rules import Kind, PartSettings, rule
from tasks.engine.config import Part


class RewardSpec(Part):
    """One part of the reward; what its kind does not need is not read."""

    name: str = Field(
        description="Under which it is shown.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        max_length=64,
    )
    kind: Kind = Field(
        description="model: of the stage reward; exact, number (behind ####), letter: as the "
        "expected answer; pattern: found in the answer; form: all of the answer; json_schema; "
        "code: a program that passes the expected answer's assertions; length."
    )
    weight: float = Field(1.0, description="In the sum of all parts.", ge=-1e6, le=1e6)
    expression: str = Field("", description="pattern, form: a regular expression of Python.")
    structure: str = Field("", description="json_schema: a JSON Schema, as JSON.")
    minimum: int = Field(0, description="length: fewest tokens of full reward.", ge=0, le=1_048_576)
    maximum: int = Field(
        64,
        description="length: most tokens of full reward; none is left at twice as many.",
        ge=1,
        le=1_048_576,
    )
    seconds: float = Field(5.0, description="code: a program may take.", gt=0.0, le=600.0)
    memory_mb: int = Field(
        512, description="code: megabytes of address space a program may have.", ge=64, le=65_536
    )

    @model_validator(mode="after")
    def _means_something(self) -> RewardSpec:
        if self.kind != "model":
            try:
                rule(PartSettings(**self.model_dump()))
            except RewardSettingError as error:
                raise ValueError(f"reward {self.name!r}: {error}") from error
        return self


def check_names(parts: Sequence[RewardSpec]) -> None:
    """Raises:
    ValueError: two parts have one name.
    """
    names = [part.name for part in parts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"rewards need names of their own; given twice: {', '.join(twice)}")


def asks_a_model(parts: Sequence[RewardSpec]) -> bool:
    """Whether one of them is the reward model."""
    return any(part.kind == "model" for part in parts)
