"""How a model in use goes on when its corpus has grown: the section `learn` of a recipe."""

from __future__ import annotations

from pydantic import Field

from tasks.engine.config import Part


class LearnConfig(Part):
    """When it goes on, on what, for how long, and when it takes the place of the model in use."""

    new_tokens: int = Field(
        1,
        description="Tokens of new documents from which on it is worth the while; fewer wait for "
        "more.",
        ge=1,
    )
    tokens: float = Field(
        0.25,
        description="Tokens of the run, as a share of those that training from scratch would take; "
        "more where new rows and the share replayed come to more.",
        gt=0.0,
        le=1.0,
    )
    replay: float = Field(
        0.5,
        description="Share of the rows that the model has seen before, at least: what it is not "
        "shown again it forgets.",
        ge=0.0,
        le=0.99,
    )
    decay_share: float = Field(
        0.8,
        description="Share of the run in which the learning rate falls; what comes before is where "
        "the next run goes on from.",
        gt=0.0,
        le=1.0,
    )
    better: list[str] = Field(
        ["bits_per_byte"],
        description="Measures by all of which it has to be better than the model in use, surely.",
        min_length=1,
    )
    not_worse: list[str] = Field(
        [], description="Measures by none of which it may be worse, as far as one can see."
    )
    margin: float = Field(
        0.0,
        description="By `better` it is enough not to be worse by more than this share, surely; "
        "0 = it has to be better.",
        ge=0.0,
        lt=1.0,
    )
