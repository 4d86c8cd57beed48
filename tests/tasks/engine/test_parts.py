"""Parts are read like `pq.read_table` reads them, the two things it does too many aside."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.engine.store.part_files import read_part


@pytest.fixture
def part(tmp_path: Path) -> Path:
    where = pa.struct([("file", pa.string()), ("offset", pa.int64())])
    schema = pa.schema(
        [pa.field("id", pa.string(), nullable=False), ("n", pa.int32()), ("at", where)]
    )
    rows = [
        {"id": "a", "n": 1, "at": {"file": "x", "offset": 3}},
        {"id": "b", "n": None, "at": None},
    ]
    path = tmp_path / "part.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


@pytest.mark.parametrize(
    "columns",
    [None, ["id", "n", "at"], ["n", "id"], ["at"], ["id", "at.offset", "at.file"], ["at.file"]],
)
def test_the_same_table(part: Path, columns: list[str] | None) -> None:
    wanted, found = pq.read_table(part, columns=columns), read_part(part, columns)
    assert found.schema == wanted.schema
    assert found.to_pylist() == wanted.to_pylist()


def test_no_rows_asked_for_by_no_column(part: Path) -> None:
    assert read_part(part, []).num_columns == 0


@pytest.mark.parametrize("column", ["gone", "gone.too", "at.gone"])
def test_a_column_that_is_not_there_is_an_error(part: Path, column: str) -> None:
    with pytest.raises((pa.ArrowException, KeyError)):
        read_part(part, ["id", column])


def test_a_folder_called_like_a_column_is_none(part: Path) -> None:
    inside = part.parent / "language=en" / part.name
    inside.parent.mkdir()
    part.rename(inside)
    assert read_part(inside).schema.names == ["id", "n", "at"]
