"""Bounds in words, fields in the order people need them."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field

from tasks.engine.config import Part, ShardedConfig, StageConfig, execution
from tasks.engine.form import bounds


class Weight(Part):
    source: str = Field("all", description="Which source", min_length=1)
    share: float = Field(1.0, description="Its share.", gt=0, le=1)


class Family(StageConfig):
    seed: int = Field(0, description="The seed.", ge=0)


class Kettle(Family, ShardedConfig):
    cups: int = Field(4, description="How many cups", ge=1, le=1024)
    limit: int | None = Field(None, description="None = no limit.", ge=16)
    weights: list[Weight] = Field([], description="Weights.", max_length=8)
    names: list[Annotated[str, Field(max_length=3)]] = Field([], description="Names.")
    lid: bool = execution(True, "Whether the lid is on.")


def test_own_fields_then_the_family_s_then_how_it_runs() -> None:
    shown = Kettle.model_json_schema()["properties"]
    own = ["cups", "limit", "weights", "names", "lid"]
    run_by = ["executor", "cluster", "workers", "max_failed_shards", "pool"]
    assert list(shown) == [*own, "seed", *run_by]


def test_descriptions_end_with_the_bounds() -> None:
    schema = Kettle.model_json_schema()
    said = {name: field["description"] for name, field in schema["properties"].items()}
    assert said["cups"] == "How many cups. From 1 to 1,024."
    assert said["limit"] == "None = no limit. At least 16."
    assert said["weights"] == "Weights. At most 8 entries."
    assert said["names"] == "Names. Each: at most 3 characters."
    assert said["lid"] == "Whether the lid is on."
    assert said["max_failed_shards"].endswith(". At least 0.")
    assert said["workers"].endswith("; 0 = as many as it can. From 0 to 1,024.")
    weight = schema["$defs"]["Weight"]["properties"]
    assert weight["share"]["description"] == "Its share. More than 0 and at most 1."
    assert weight["source"]["description"] == "Which source. At least 1 character."


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, ""),
        ({"minimum": 0.5, "exclusiveMaximum": 1e-3}, "At least 0.5 and less than 0.001."),
        ({"exclusiveMinimum": 0}, "More than 0."),
        ({"minItems": 2, "maxItems": 2}, "Exactly 2 entries."),
        ({"minimum": 64, "multipleOf": 64}, "At least 64, a multiple of 64."),
        ({"anyOf": [{"type": "null"}, {"minimum": 1}]}, "At least 1."),
    ],
)
def test_every_kind_of_bound(schema: dict[str, object], words: str) -> None:
    assert bounds(schema) == words
