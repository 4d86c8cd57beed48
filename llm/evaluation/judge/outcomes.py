"""Two verdicts on a pair, one in either order, as one outcome.

Judges favour a place, most often the first (Zheng et al. 2023, "Judging LLM-as-a-judge", section
3.4). A pair counts as won where both orders say so, and as a tie where they disagree.
"""

from __future__ import annotations

WIN, TIE, LOSS = 1.0, 0.5, 0.0
LABELS = {WIN: "1", TIE: "tie", LOSS: "2"}
_TURNED = {"1": "2", "2": "1", "tie": "tie"}


def outcome(forward: str, backward: str) -> float:
    """What the first of two answers gets: 1, 0.5 or 0.

    Args:
        forward: the verdict ("1", "2", "tie") with the first answer in front.
        backward: with the second one in front.
    """
    if forward != _TURNED[backward]:
        return TIE
    return {"1": WIN, "2": LOSS, "tie": TIE}[forward]
