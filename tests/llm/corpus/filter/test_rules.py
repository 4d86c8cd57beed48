"""Rules over attributes: order, ties, nulls, errors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from llm.corpus.filter.groups import NO_GROUP, Group, columns_asked, groups_of
from llm.corpus.filter.rules import (
    KEPT,
    ColumnTypeError,
    Rule,
    UnknownColumnError,
    check_rules,
    find_cutoff,
    judge,
)

SCHEMA = pa.schema(
    [("doc_id", pa.string()), ("words", pa.int32()), ("score", pa.float64()),
     ("language", pa.string()), ("blocked", pa.bool_())]
)  # fmt: skip
TABLE = pa.table(
    {
        "doc_id": ["a", "b", "c", "d", "e"],
        "words": [10, 60, 60, 900, None],
        "score": [0.9, 0.1, float("nan"), 0.5, 0.2],
        "language": ["en", "fr", "en", None, "en"],
        "blocked": [False, False, True, False, None],
    },
    schema=SCHEMA,
)


def no_groups(table: pa.Table) -> NDArray[np.int64]:
    return np.full(table.num_rows, NO_GROUP)


def rule(
    column: str,
    minimum: float | None = None,
    maximum: float | None = None,
    allowed: tuple[str, ...] = (),
    keep_fraction: float | None = None,
    group: int | None = None,
) -> Rule:
    return Rule(column, column, minimum, maximum, allowed, keep_fraction, group)


def test_the_first_failed_rule_is_the_reason() -> None:
    rules = [
        rule("words", minimum=50, maximum=100),
        rule("language", allowed=("en",)),
        rule("blocked", maximum=0),
        rule("score", minimum=0.3),
    ]
    found = judge(TABLE, rules, {}, no_groups(TABLE))
    assert found.first.tolist() == [0, 1, 2, 0, 3]
    assert found.failed_first == [2, 1, 1, 1]
    assert found.failed == [2, 1, 1, 2]
    assert found.null == [1, 1, 1, 1]
    assert found.value[0] == 10
    assert found.threshold[0] == 50
    assert found.threshold[3] == 100
    assert math.isnan(found.value[1])
    assert found.detail == [
        "words 10 < 50", "language is fr, allowed: en", "blocked 1 > 0", "words 900 > 100",
        "score 0.2 < 0.3",
    ]  # fmt: skip


def test_bounds_are_inclusive_and_no_rules_keep_all() -> None:
    bounds = judge(TABLE, [rule("words", minimum=10, maximum=900)], {}, no_groups(TABLE))
    assert bounds.first.tolist() == [KEPT] * 5
    assert judge(TABLE, [], {}, no_groups(TABLE)).first.tolist() == [KEPT] * 5


def split(table: pa.Table, size: int) -> Callable[[], list[pa.Table]]:
    return lambda: [table.slice(i, size) for i in range(0, table.num_rows, size)]


@given(
    st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.2, 0.3]))),
    st.sampled_from([0.01, 0.1, 0.29, 0.5, 0.7, 1.0]),
    st.integers(1, 7),
)
def test_keep_fraction_keeps_exactly_that_many(
    values: list[float | None], fraction: float, size: int
) -> None:
    ids = [f"{(n * 7919) % 1000:03d}" for n in range(len(values))]
    table = pa.table(
        {"doc_id": pa.array(ids, pa.string()), "score": pa.array(values, pa.float64())}
    )
    cut = find_cutoff(split(table, size), "score", fraction)
    present = sorted((-v, i) for v, i in zip(values, ids, strict=True) if v is not None)
    if cut is None:
        assert not present
        return
    found = judge(table, [rule("score", keep_fraction=fraction)], {"score": cut}, no_groups(table))
    kept = {i for i, f in zip(ids, found.first.tolist(), strict=True) if f == KEPT}
    wanted = {i for _, i in present[: math.ceil(round(fraction * len(present), 6))]}
    assert kept == wanted | {i for v, i in zip(values, ids, strict=True) if v is None}


def test_rules_are_checked_against_the_columns() -> None:
    with pytest.raises(UnknownColumnError, match=r"'wrods'.*words, score, language"):
        check_rules([rule("wrods", minimum=1)], SCHEMA)
    with pytest.raises(ColumnTypeError, match="use allowed"):
        check_rules([rule("language", minimum=1)], SCHEMA)
    with pytest.raises(ColumnTypeError, match="use minimum"):
        check_rules([rule("score", allowed=("x",))], SCHEMA)


def test_the_first_group_a_document_fits_is_its_own() -> None:
    documents = pa.table(
        {
            "source": ["git", "web", "web", None, "git"],
            "language": ["en", "de", None, "de", "de"],
        }
    )
    groups = [
        Group("german code", ("git",), (), ("de",)),
        Group("code", ("git",), (), ()),
        Group("german", (), (), ("de", "gsw")),
    ]
    assert groups_of(groups, documents).tolist() == [1, 2, NO_GROUP, 2, 0]
    rest = Group("rest", (), (), ())
    assert groups_of([*groups, rest], documents).tolist() == [1, 2, 3, 2, 0]
    assert columns_asked(groups) == ["language", "source"]
    assert columns_asked([rest]) == []


def test_a_rule_of_a_group_looks_at_that_group_alone() -> None:
    rules = [rule("words", minimum=100, group=1), rule("score", minimum=0.3)]
    found = judge(TABLE, rules, {}, np.array([0, 1, 0, 1, 1]))
    assert found.first.tolist() == [KEPT, 0, KEPT, KEPT, 1]
    assert found.failed == [1, 2]
    assert found.null == [1, 1]  # of the words of group 1, and of all scores
