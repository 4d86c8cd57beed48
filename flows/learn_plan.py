"""What a learning run does: one plan for what is new, one for all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flows.filled_forms import wanted
from flows.home import open_store
from flows.planning import planner_for
from tasks.engine.run.plan import Planner
from tasks.engine.store.artifact import Artifact
from tasks.learn_section import LearnConfig
from tasks.learning.challenge import REPLAY, Challenge, challenge
from tasks.recipe import load


@dataclass(frozen=True)
class Question:
    """Whether a model that goes on from the one in use is better than it.

    Attributes:
        source: what the recipe was loaded by.
    """

    source: str
    challenge: Challenge

    def choice(self) -> Planner:
        """Of what is new in the corpus, and what is repeated."""
        return self._planner(only=[REPLAY])

    def whole(self) -> Planner:
        """Of that and all that is trained and measured on it."""
        return self._planner(start=[REPLAY])

    def _planner(self, only: Sequence[str] = (), start: Sequence[str] = ()) -> Planner:
        asked = self.challenge
        recipe = replace(asked.recipe, name=asked.name, configs=asked.configs)
        inputs = [_input_name(artifact) for artifact in asked.kept.values()]
        return planner_for(recipe, self.source, open_store(), only, start, inputs=inputs)


def question(
    recipe: str, changes: Sequence[str] = (), config: LearnConfig | None = None
) -> Question:
    """What is asked of a recipe.

    Args:
        config: of a form, in place of the recipe's section.

    Raises:
        LearnError: there is nothing to go on from, or with.
    """
    loaded = load(recipe, changes)
    if config is not None:
        own = loaded.learn or LearnConfig.model_validate({})
        loaded = replace(loaded, learn=wanted(config, own))
    return Question(recipe, challenge(loaded, open_store()))


def _input_name(artifact: Artifact) -> str:
    manifest = artifact.manifest
    return f"{manifest.stage}/{manifest.build_id}/{manifest.attempt}"
