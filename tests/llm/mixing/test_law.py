"""Laws against ones that are known: what they say of other mixtures, and their slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from llm.mixing.law import Floats, UnfittableError, fit, left_out, rank_correlation
from tests.llm.mixing.known_laws import EVEN, exponential, mixtures, power

LAWS = [(exponential, "weights", 0.01), (power, "logarithms", 0.02)]


@pytest.mark.parametrize(("law", "kind", "error"), LAWS)
def test_it_finds_a_known_law(law: Callable[[Floats], Floats], kind: str, error: float) -> None:
    tried = mixtures(16)
    found = fit(tried, law(tried), EVEN)
    assert found.kind == kind
    others = mixtures(60, seed=1)[1:]
    assert np.abs(found.bits(others) - law(others)).max() < error * 10
    assert np.sqrt(np.mean((found.bits(others) - law(others)) ** 2)) < error
    told, truth = (each @ EVEN for each in (found.bits(others), law(others)))
    assert rank_correlation(told.tolist(), truth.tolist()) > 0.98


def test_noise_makes_it_worse_and_is_told() -> None:
    tried, rng = mixtures(16), np.random.default_rng(0)
    clean, noisy = exponential(tried), exponential(tried) + rng.normal(0, 0.2, (16, 4))
    errors = [min(fit(tried, bits, EVEN).errors.values()) for bits in (clean, noisy)]
    assert errors[0] < 0.01
    assert errors[1] > 0.1
    told = left_out(tried, noisy, EVEN)
    # What a mixture's own figure is has no part in what is told of it.
    other = noisy.copy()
    other[5] += 3.0
    np.testing.assert_array_equal(left_out(tried, other, EVEN)[5], told[5])
    assert not np.allclose(left_out(tried, other, EVEN)[4], told[4])


@pytest.mark.parametrize(("law", "kind", "error"), LAWS)
def test_the_gradient_is_that_of_the_average(
    law: Callable[[Floats], Floats], kind: str, error: float
) -> None:
    tried = mixtures(16)
    found = fit(tried, law(tried), np.array([4.0, 1.0, 0.0, 1.0]))
    assert found.importance.tolist() == pytest.approx([4 / 6, 1 / 6, 0, 1 / 6])
    at, step = np.array([0.4, 0.3, 0.2, 0.1]), 1e-6
    moved = [
        (found.average(at + step * unit) - found.average(at - step * unit)) / (2 * step)
        for unit in np.eye(4)
    ]
    np.testing.assert_allclose(found.gradient(at), moved, rtol=1e-5, atol=1e-8)


def test_what_determines_no_law() -> None:
    tried = mixtures(16)
    with pytest.raises(UnfittableError, match="5 mixtures for 4 sources; a fit needs 6"):
        fit(tried[:5], exponential(tried[:5]), EVEN)
    with pytest.raises(UnfittableError, match="all mixtures came out alike"):
        fit(tried, np.full((16, 4), 1.5), EVEN)
    bits = exponential(tried)
    bits[3, 1] = np.inf
    with pytest.raises(UnfittableError, match="its training diverged"):
        fit(tried, bits, EVEN)


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 31]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    # 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1)), from the definition
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0.0
