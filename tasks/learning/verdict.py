"""Whether what has gone on learning takes the place of the model in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.comparison.comparing import Comparison
from tasks.comparison.contenders import contender
from tasks.comparison.promotion import judge
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.learning.challenge import CHAMPION, EVALUATE, PROD, Challenge


@dataclass(frozen=True)
class Verdict:
    """What a learning run came to.

    Attributes:
        objections: against the challenger; none = it is promoted.
    """

    comparison: Comparison
    objections: tuple[str, ...]

    @property
    def promoted(self) -> bool:
        return not self.objections

    @property
    def in_words(self) -> str:
        """One sentence."""
        challenger = self.comparison.contenders[1].label
        if self.promoted:
            return f"{challenger} is promoted as {PROD}"
        return f"{PROD} stays as it is: {challenger} is {'; and '.join(self.objections)}"


def too_little(challenge: Challenge, chosen: Artifact) -> str:
    """Why what `replay` found is not worth the while; "" = it is."""
    found, wanted = int(chosen.facts["new_tokens"]), challenge.config.new_tokens
    if found >= wanted:
        return ""
    return (
        f"{found:,} tokens of documents that the model in use has not learned from, fewer than "
        f"learn.new_tokens, {wanted:,}: they wait for more"
    )


def verdict(challenge: Challenge, built: Mapping[str, Artifact]) -> Verdict:
    """Hold the challenger against the champion, by what one evaluation made of both.

    Args:
        built: by stage, the evaluation among them.

    Raises:
        ComparisonError: they were not measured by what decides, or neither way of it is better.
    """
    evaluation, config = built[EVALUATE], challenge.config
    champion = contender(f"{challenge.recipe.name}@{PROD}", evaluation, CHAMPION)
    challenger = contender(challenge.name, evaluation)
    judged = judge(champion, challenger, config.better, config.not_worse, margin=config.margin)
    return Verdict(judged.comparison, judged.objections)


def promote(challenge: Challenge, built: Mapping[str, Artifact]) -> None:
    """Make the recipe's channel mean the challenger, and all that it was made from."""
    for artifact in built.values():
        channels.point(artifact.store, challenge.recipe.name, artifact, PROD)
