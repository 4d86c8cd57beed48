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


def exact_interval(won: int, lost: int, n: int, level: float) -> tuple[float, float]:
    """Shares of n items by which the one may be ahead, given how many the two differ on.

    Clopper and Pearson's interval (1934) of the share won of those; it leaves zero out where
    `exact_p` is below `level`, and only there. Where the two differ on none, the same interval of
    none of n: so rarely they may differ, either way.
    """
    from scipy import special

    tail = level / 2
    discordant = won + lost
    if not discordant:
        edge = 1 - tail ** (1 / n)
        return -edge, edge
    low = float(special.betaincinv(won, lost + 1, tail)) if won else 0.0
    high = float(special.betaincinv(won + 1, lost, 1 - tail)) if lost else 1.0
    return (2 * low - 1) * discordant / n, (2 * high - 1) * discordant / n


def fewest_discordant(level: float) -> int:
    """How many items, all won, make p no more than `level`: 6 at .05."""
    won = 1
    while exact_p(won, 0) > level:
        won += 1
    return won
