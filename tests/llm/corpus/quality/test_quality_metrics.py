"""AUC and thresholded metrics against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.quality.metrics import binary_metrics

EXAMPLES = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])), min_size=1
)


@given(EXAMPLES)
def test_auc_is_the_share_of_ordered_pairs(examples: list[tuple[bool, float]]) -> None:
    truth, scores = [t for t, _ in examples], [s for _, s in examples]
    pairs = [
        (p, n)
        for p, positive in zip(scores, truth, strict=True) if positive
        for n, negative in zip(scores, truth, strict=True) if not negative
    ]  # fmt: skip
    found = binary_metrics(truth, scores, 0.5).auc
    if pairs:
        assert found == pytest.approx(sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs))
    else:
        assert found is None


def test_known_confusion() -> None:
    found = binary_metrics([True, True, True, False, False], [0.9, 0.5, 0.1, 0.6, 0.2], 0.5)
    assert (found.positives, found.negatives) == (3, 2)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)
    assert found.auc == pytest.approx(3 / 6)


def test_nothing_claimed() -> None:
    found = binary_metrics([True, False], [0.1, 0.2], 0.5)
    assert found.precision is None
    assert found.recall == 0
