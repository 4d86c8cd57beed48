"""How likely a model finds one text behind another, in lm-eval's reading of a boundary.

Prompt and continuation are tokenised together and parted where the prompt alone would end, white
space at its end counted with what follows it; so the tokens are those of the running text. What
exceeds the context loses its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm.errors import ExpectedError
from llm.evaluation.tasks.subject import Encoder, Subject
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


def pair(encoder: Encoder, prompt: str, continuation: str) -> Pair:
    """Two texts as tokens.

    Raises:
        UnscorableTextError: the second has no token of its own, or more than the context has room
            for.
    """
    if prompt:
        kept = prompt.rstrip()
        whole, before = encoder.encode(prompt + continuation), encoder.encode(kept)
        return fit(encoder, whole[: len(before)], whole[len(before) :])
    ids = encoder.encode_bare(continuation)
    if ids and ids[0] == encoder.prefix:
        return fit(encoder, ids[:1], ids[1:])
    return fit(encoder, [encoder.prefix], ids)


def fit(encoder: Encoder, prompt: list[int], continuation: list[int]) -> Pair:
    """Tokens with as much of the prompt as the context has room for.

    Raises:
        UnscorableTextError: as above.
    """
    if not prompt or not continuation:
        raise UnscorableTextError(NO_TOKEN)
    if len(continuation) > encoder.context:
        raise UnscorableTextError(TOO_LONG)
    # The last token is predicted and not read.
    excess = max(0, len(prompt) + len(continuation) - encoder.context - 1)
    return Pair(prompt[excess:], continuation, excess)


def rolling_pairs(subject: Subject, text: str) -> list[Pair]:
    """A whole text as pairs that score each of its tokens once, as lm-eval does: the first behind
    the prefix, then windows of a context each that see one token of the one before; the last
    window reaches back as far as the context goes."""
    tokens = [subject.prefix, *subject.encode(text)]
    predictions, size = len(tokens) - 1, subject.context
    found = []
    for start in range(0, predictions, size):
        end = min(start + size, predictions)
        first = max(0, end - size)
        found.append(Pair(tokens[first : start + 1], tokens[start + 1 : end + 1], 0))
    return found


def likelihoods(
    subject: Subject, pairs: Sequence[Pair], batch_tokens: int, report: Report
) -> list[Likelihood]:
    """Of each pair's continuation, in the order given; a batch changes nothing but rounding.

    Equal pairs are scored once, so that not even rounding tells them apart.
    """
    keys = [(tuple(each.prompt), tuple(each.continuation)) for each in pairs]
    once = list(dict.fromkeys(keys))
    sums, greedy = greedy_completions(
        subject.scorer,
        [prompt for prompt, _ in once],
        [continuation for _, continuation in once],
        batch_tokens,
        subject.device,
        report,
    )
    found = {
        key: Likelihood(float(total), bool(likeliest))
        for key, total, likeliest in zip(once, sums, greedy, strict=True)
    }
    return [found[key] for key in keys]
