"""What stages ask of each other's configs, held against a recipe before any of them runs.

Much of what a late stage cannot do is decided by the field of an early one, and would show hours
later. Each stage declares what it asks of others (`Stage.requires`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasks.engine.config import StageConfig
from tasks.engine.declare import Requirement
from tasks.engine.errors import RecipeError
from tasks.engine.stage.stage import Stage


def problems(stages: Mapping[str, Stage], configs: Mapping[str, StageConfig]) -> list[str]:
    """Everything that does not go together in these configs, by stage name."""
    return [
        problem
        for name, stage in stages.items()
        if name in configs
        for requirement in stage.requires
        for problem in _problems(requirement, configs[name], configs)
    ]


def _problems(
    requirement: Requirement, config: StageConfig, configs: Mapping[str, StageConfig]
) -> Iterator[str]:
    values = []
    for wanted in requirement.of:
        stage, _, field = wanted.removesuffix("?").partition(".")
        if stage in configs:
            values.append(getattr(configs[stage], field))
        elif wanted.endswith("?"):
            values.append(None)
        else:
            return
    yield from requirement.problems(config, *values)


def require(stages: Mapping[str, Stage], configs: Mapping[str, StageConfig], source: str) -> None:
    """Make sure that the stages of a recipe go together.

    Args:
        source: what the recipe was loaded by, for the message.

    Raises:
        RecipeError: they do not; names all there is.
    """
    found = problems(stages, configs)
    if found:
        raise RecipeError("\n".join(f"{source}: {problem}" for problem in found))
