"""What is told of a part of the reward, and the rules that need no model to judge an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llm.alignment.rewards import code, verifiable
from llm.alignment.rewards.rollout import Reward

Kind = Literal[
    "model", "exact", "number", "letter", "pattern", "form", "json_schema", "code", "length"
]
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class PartSettings:
    """One part of a reward; settings of other kinds than its own are not read.

    Attributes:
        name: under which it is told.
        weight: in the sum.
        expression: of "pattern" and "form".
        structure: of "json_schema".
        minimum, maximum: tokens, of "length".
        seconds, memory_mb: of a program, of "code".
    """

    kind: Kind
    name: str
    weight: float
    expression: str
    structure: str
    minimum: int
    maximum: int
    seconds: float
    memory_mb: int


def rule(part: PartSettings) -> Reward:
    """The reward that settings of any kind but "model" describe.

    Raises:
        RewardSettingError: they mean nothing.
    """
    rules: dict[str, Callable[[], Reward]] = {
        "exact": verifiable.exact,
        "number": verifiable.number,
        "letter": verifiable.letter,
        "pattern": lambda: verifiable.pattern(part.expression),
        "form": lambda: verifiable.form(part.expression),
        "json_schema": lambda: verifiable.json_schema(part.structure),
        "length": lambda: verifiable.length(part.minimum, part.maximum),
        "code": lambda: code.code(part.seconds, part.memory_mb * _MEGABYTE),
    }
    return rules[part.kind]()
