from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.source.repeats import CAPTURES, repeated_captures

rows = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["u1", "u2", "u3"]),
        st.none() | st.integers(0, 3).map(lambda day: datetime(2024, 1, 1 + day, tzinfo=UTC)),
    ),
    unique_by=lambda row: row[:2],
)


def table(found: list[tuple[str, str, datetime | None]]) -> pa.Table:
    columns = list(zip(*found, strict=True)) or [[], [], []]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, CAPTURES, strict=True)], CAPTURES)


@given(rows, st.randoms())
def test_one_of_each_is_left_and_it_is_the_earliest(
    found: list[tuple[str, str, datetime | None]], random: object
) -> None:
    dropped = repeated_captures(table(found)).to_pylist()
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert repeated_captures(table(shuffled)).to_pylist() == dropped
    gone = {(row["doc_id"], row["unit"]) for row in dropped}
    late = datetime.max.replace(tzinfo=UTC)
    for doc in {row[0] for row in found}:
        same = sorted((when or late, unit) for d, unit, when in found if d == doc)
        assert [unit for _, unit in same if (doc, unit) not in gone] == [same[0][1]]
        kept = {row["kept_unit"] for row in dropped if row["doc_id"] == doc}
        assert kept <= {same[0][1]}
