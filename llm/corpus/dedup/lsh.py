"""Locality-sensitive hashing by bands: how signatures are cut, and what that finds.

Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4. A signature is cut into
`bands` of `rows` values; two documents with Jaccard s agree in at least one band with
probability 1 - (1 - s^rows)^bands. Fewer rows find more pairs and more false ones; since every
candidate is verified afterwards, `choose_banding` takes the recall that is asked for and then
the fewest false candidates, where datasketch's optimum weighs both alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.errors import ExpectedError

# Points of the midpoint rule: the error is below 1e-6 for any banding of up to 1,024 values.
_STEPS = 2_000


class BandingError(ExpectedError, ValueError):
    """No banding of that many values reaches the recall asked for."""


@dataclass(frozen=True)
class Banding:
    """`bands` × `rows` values of a signature are used; those left over are not."""

    bands: int
    rows: int

    def probability(self, jaccard: float) -> float:
        """That a pair of this Jaccard becomes a candidate (the S-curve)."""
        return float(1.0 - (1.0 - jaccard**self.rows) ** self.bands)

    def recall(self, threshold: float) -> float:
        """Mean of `probability` over [threshold, 1]: expected recall for pairs spread evenly."""
        if threshold >= 1.0:
            return self.probability(1.0)
        width = (1.0 - threshold) / _STEPS
        points = threshold + (np.arange(_STEPS) + 0.5) * width
        return float(np.mean(1.0 - (1.0 - points**self.rows) ** self.bands))


def choose_banding(num_perm: int, threshold: float, recall: float) -> Banding:
    """The banding with most rows (fewest false candidates) whose predicted recall suffices.

    Raises:
        BandingError: not even bands of one row reach it.
    """
    for rows in range(num_perm, 0, -1):
        banding = Banding(num_perm // rows, rows)
        if banding.recall(threshold) >= recall:
            return banding
    best = Banding(num_perm, 1).recall(threshold)
    raise BandingError(
        f"recall {recall} over [{threshold}, 1] needs longer signatures than {num_perm} values "
        f"(at most {best:.4f} is reached); raise num_perm or lower the recall"
    )
