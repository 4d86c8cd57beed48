"""Wilson's interval where it can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llm.evaluation.measure import mean
from llm.evaluation.wilson import wilson

Z2 = 1.959963984540054**2


@pytest.mark.parametrize("n", [1, 2, 40, 1000])
def test_none_all_and_half(n: int) -> None:
    ids = tuple(map(str, range(n)))
    none, every = (wilson(mean("x", ids, np.full(n, value))) for value in (0.0, 1.0))
    assert (none.value, none.low, none.n) == (0.0, 0.0, n)
    assert none.high == pytest.approx(Z2 / (n + Z2))
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(n / (n + Z2))
    half = wilson(mean("x", tuple(map(str, range(2 * n))), np.arange(2 * n) % 2.0))
    reach = 0.5 * np.sqrt(Z2 / (2 * n + Z2))
    assert (half.low, half.high) == (pytest.approx(0.5 - reach), pytest.approx(0.5 + reach))
