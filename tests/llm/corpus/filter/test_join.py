"""Joining parts by doc_id, with and without equal cuts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.filter.join import co_partitioned, rows_of

SCHEMA = pa.schema([("doc_id", pa.string()), ("n", pa.int32())])


def parts(folder: Path, cut: Sequence[Sequence[str]]) -> dict[str, Path]:
    folder.mkdir()
    found = {}
    for number, ids in enumerate(cut):
        path = folder / f"part{number}.parquet"
        table = pa.table([list(ids), [ord(i) for i in ids]], schema=SCHEMA)
        pq.write_table(table.append_column("other", pa.array(["x"] * len(ids))), path)
        found[path.name] = path
    return found


def test_namesakes(tmp_path: Path) -> None:
    left = parts(tmp_path / "left", ["abc", "de", "f"])
    assert co_partitioned(left, parts(tmp_path / "same", ["abc", "de", "f"]))
    assert co_partitioned(left, parts(tmp_path / "fewer", ["cb", "", "f"]))
    assert not co_partitioned(left, parts(tmp_path / "moved", ["abd", "ce", "f"]))
    assert not co_partitioned(left, parts(tmp_path / "more", ["abc", "de", "f", "g"]))


def test_rows_are_found_in_whatever_part(tmp_path: Path) -> None:
    moved = parts(tmp_path / "moved", ["xd", "ya", "bz"])
    found = rows_of(pa.chunked_array([["a", "b"], ["c"]]), list(moved.values()), SCHEMA)
    assert found.to_pylist() == [{"doc_id": "a", "n": 97}, {"doc_id": "b", "n": 98}]
    assert rows_of(pa.chunked_array([["a"]]), [], SCHEMA).schema == SCHEMA
