"""Of several answers to a prompt the best and the worst, where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm.sampled_pairs.drawing import Sampled


@dataclass(frozen=True)
class Chosen:
    """What becomes of a prompt.

    Attributes:
        best, worst: places among its answers; none where there is no pair.
        reason: why there is none: "unfinished" (fewer than two answers that said something and
            ended), "no_verdict" (fewer than two that were graded), "tie".
        detail: the same for people.
    """

    best: int | None
    worst: int | None
    reason: str
    detail: str


def best_and_worst(
    answers: Sequence[Sampled], grades: Mapping[int, float] | None, min_gap: float
) -> Chosen:
    """The answers with the highest and the lowest reward; of equal ones the first drawn.

    An answer that was cut off is neither: whoever learns it learns to end there.

    Args:
        grades: what is added to the reward, by place; an answer without one is left out. None =
            nothing is added.
        min_gap: by which the best one's reward has to exceed the worst one's; 0 = at all.
    """
    whole = [at for at, one in enumerate(answers) if is_whole(one)]
    if len(whole) < 2:
        told = f"{len(whole)} of {len(answers)} answers said something and ended"
        return Chosen(None, None, "unfinished", told)
    ranked = whole if grades is None else [at for at in whole if at in grades]
    if len(ranked) < 2:
        told = f"{len(ranked)} of {len(whole)} answers were graded"
        return Chosen(None, None, "no_verdict", told)
    worth = {at: answers[at].reward + (grades or {}).get(at, 0.0) for at in ranked}
    best = max(ranked, key=lambda at: worth[at])
    worst = min(ranked, key=lambda at: worth[at])
    gap = worth[best] - worth[worst]
    if gap <= 0 or gap < min_gap:
        told = f"rewards from {worth[worst]:.4g} to {worth[best]:.4g}; min_gap is {min_gap:g}"
        return Chosen(None, None, "tie", told)
    # A verdict may differ where texts do not: they are asked about as they stand, white space too.
    if answers[best].answer.strip() == answers[worst].answer.strip():
        return Chosen(None, None, "tie", "the best answer and the worst are the same text")
    return Chosen(best, worst, "", "")


def is_whole(answer: Sampled) -> bool:
    """Whether it can be learned from: it ended by itself and is not blank."""
    return answer.finished and bool(answer.answer.strip())
