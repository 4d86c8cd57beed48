"""Wilson's interval against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from llm.evaluation.measure import Measure, mean
from llm.evaluation.wilson import wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 40), (1, 40), (17, 40), (40, 40), (3, 1000)])
def test_as_scipy_has_it(hits: int, n: int) -> None:
    values = (np.arange(n) < hits).astype(float)
    found = wilson(mean("over_refusal", tuple(map(str, range(n))), values))
    wanted = binomtest(hits, n).proportion_ci(method="wilson")
    assert (found.value, found.n) == (hits / n, n)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_units_that_weigh_more_are_fewer() -> None:
    ids = tuple(map(str, range(10)))
    even = wilson(Measure("memorised_pii", ids, np.zeros(10), np.full(10, 4.0)))
    uneven = wilson(Measure("memorised_pii", ids, np.zeros(10), np.array([91.0, *[1.0] * 9])))
    assert even == wilson(mean("memorised_pii", ids, np.zeros(10)))
    assert (uneven.value, uneven.low, uneven.n) == (0.0, 0.0, 10)
    # One document with nearly all addresses says about as much as one document.
    alone = wilson(mean("memorised_pii", ("0",), np.zeros(1)))
    assert even.high is not None
    assert uneven.high is not None
    assert uneven.high > 2 * even.high
    assert uneven.high == pytest.approx(alone.high, rel=0.1)
