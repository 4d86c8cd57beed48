"""McNemar's exact test: two models' yes and no on the same items (McNemar 1947).

Items on which both are right or both are wrong say nothing. Of the others, were the models equally
good, each would be as likely won as lost.
"""

from __future__ import annotations


def exact_p(won: int, lost: int) -> float:
    """The two-sided p-value of a binomial test with even odds.

    Args:
        won, lost: items on which only the one, only the other model is right.
    """
    from scipy import special  # not before: every command imports this file

    return min(1.0, 2 * float(special.bdtr(min(won, lost), won + lost, 0.5)))


def fewest_discordant(level: float) -> int:
    """How many items, all won, make p no more than `level`: 6 at .05."""
    won = 1
    while exact_p(won, 0) > level:
        won += 1
    return won
