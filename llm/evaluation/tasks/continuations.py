"""How likely a model finds one text behind another, in lm-eval's reading of a boundary.

Prompt and continuation are tokenised together and parted where the prompt alone would end, white
space at its end counted with what follows it; so the tokens are those of the running text. What
exceeds the context loses its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm.errors import ExpectedError
from llm.evaluation.tasks.subject import Subject
from llm.model.scoring import Report, greedy_completions

TOO_LONG, NO_TOKEN = "too_long", "no_token"


class UnscorableTextError(ExpectedError, ValueError):
    """Nothing of a continuation can be scored; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Pair:
    """A prompt and what follows it, as tokens.

    Attributes:
        cut: tokens that the prompt lost to fit the context.
    """

    prompt: list[int]
    continuation: list[int]
    cut: int


@dataclass(frozen=True)
class Likelihood:
    """Of a continuation.

    Attributes:
        logprob: of all of its tokens, in nats.
        greedy: each is the most probable one at its place.
    """

    logprob: float
    greedy: bool


def pair(subject: Subject, prompt: str, continuation: str) -> Pair:
    """Two texts as tokens.

    Raises:
        UnscorableTextError: the second has no token of its own, or more than the context has room
            for.
    """
    if prompt:
        kept = prompt.rstrip()
        whole, before = subject.encode(prompt + continuation), subject.encode(kept)
        return fit(subject, whole[: len(before)], whole[len(before) :])
    ids = subject.encode_bare(continuation)
    if ids and ids[0] == subject.prefix:
        return fit(subject, ids[:1], ids[1:])
    return fit(subject, [subject.prefix], ids)


def fit(subject: Subject, prompt: list[int], continuation: list[int]) -> Pair:
    """Tokens with as much of the prompt as the context has room for.

    Raises:
        UnscorableTextError: as above.
    """
    if not prompt or not continuation:
        raise UnscorableTextError(NO_TOKEN)
    if len(continuation) > subject.context:
        raise UnscorableTextError(TOO_LONG)
    # The last token is predicted and not read.
    excess = max(0, len(prompt) + len(continuation) - subject.context - 1)
    return Pair(prompt[excess:], continuation, excess)


def likelihoods(
    subject: Subject, pairs: Sequence[Pair], batch_tokens: int, report: Report
) -> list[Likelihood]:
    """Of each pair's continuation, in the order given; a batch changes nothing but rounding."""
    sums, greedy = greedy_completions(
        subject.scorer,
        [each.prompt for each in pairs],
        [each.continuation for each in pairs],
        batch_tokens,
        subject.device,
        report,
    )
    return [
        Likelihood(float(total), bool(likeliest))
        for total, likeliest in zip(sums, greedy, strict=True)
    ]
