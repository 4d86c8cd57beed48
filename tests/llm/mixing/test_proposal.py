"""The proposal: within its limits, the best there is, and better than what there was."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.mixing.law import Floats, Laws, fit
from llm.mixing.proposal import NoMixtureError, propose, within
from tests.llm.mixing.known_laws import EVEN, SHARE, exponential, mixtures, power

NO_LIMITS = np.ones(4)


def laws(law: Callable[[Floats], Floats]) -> Laws:
    tried = mixtures(16)
    return fit(tried, law(tried), EVEN)


def grid(limits: Floats, parts: int = 50) -> Floats:
    """All mixtures of fiftieths within limits."""
    found = [
        np.array([*three, parts - sum(three)]) / parts
        for three in itertools.product(range(parts + 1), repeat=3)
        if sum(three) <= parts
    ]
    return np.array([each for each in found if (each <= limits).all()])


@pytest.mark.parametrize("law", [exponential, power])
@pytest.mark.parametrize("limits", [NO_LIMITS, np.array([1.0, 0.2, 0.1, 0.3])])
def test_it_is_the_best_of_all_within_limits(
    law: Callable[[Floats], Floats], limits: Floats
) -> None:
    found = laws(law)
    weights = propose(found, limits, np.stack([SHARE, *mixtures(16)]))
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (weights >= 0).all()
    assert (weights <= limits).all()
    every = grid(limits)
    assert found.average(weights) <= (found.bits(every) @ found.importance).min() + 1e-6
    # By the law itself, which the fit has not seen.
    before, after = (float(law(each[None])[0] @ EVEN) for each in (SHARE, weights))
    assert after < before * 0.98


def test_importance_decides() -> None:
    tried = mixtures(16)
    only_d = fit(tried, exponential(tried), np.array([0.0, 0.0, 0.0, 1.0]))
    weights = propose(only_d, NO_LIMITS, SHARE[None])
    assert weights[3] > 0.99
    assert propose(only_d, np.array([1.0, 1.0, 1.0, 0.4]), SHARE[None])[3] > 0.39999


def test_limits_without_a_mixture() -> None:
    with pytest.raises(NoMixtureError, match=r"may make up 0\.900 of the text, and 1 is needed"):
        propose(laws(exponential), np.array([0.5, 0.2, 0.1, 0.1]), SHARE[None])
    exact = np.array([0.5, 0.2, 0.2, 0.1])
    np.testing.assert_allclose(propose(laws(exponential), exact, SHARE[None]), exact, atol=1e-9)


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.floats(0.01, 1)), min_size=2, max_size=8).filter(
        lambda pairs: sum(limit for _, limit in pairs) >= 1
    )
)
def test_the_nearest_mixture_within_limits(pairs: list[tuple[float, float]]) -> None:
    point, upper = np.array(pairs).T
    found = within(point, upper)
    assert found.sum() == pytest.approx(1.0, abs=1e-9)
    assert (found >= 0).all()
    assert (found <= upper).all()
    # Whatever is at no limit got the same added to it: so it is the nearest.
    free = (found > 1e-5) & (found < upper - 1e-5)
    if free.sum() > 1:
        assert np.ptp((found - point)[free]) < 1e-5
