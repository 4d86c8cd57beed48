"""What deduplication knows of a document, the order in which they are kept, and their split."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.dedup.shingle_store import MissingTextError, write_shingles
from llm.corpus.dedup.signatures import (
    KeepOrderError,
    RepeatedDocumentError,
    align,
    gather,
    keep_order,
    sign,
)
from llm.corpus.split import split_of
from llm.tables import VALIDATION


def test_split_is_a_share_of_groups_and_depends_on_the_seed() -> None:
    groups = [f"{number:032x}" for number in range(20_000)]
    validation = {group for group in groups if split_of(group, 0, 0.05) == VALIDATION}
    assert len(validation) / len(groups) == pytest.approx(0.05, abs=0.005)
    wider = {group for group in groups if split_of(group, 0, 0.1) == VALIDATION}
    assert validation < wider
    assert validation != {group for group in groups if split_of(group, 1, 0.05) == VALIDATION}
    assert not any(split_of(group, 0, 0.0) == VALIDATION for group in groups)


def test_keep_order(tmp_path: Path) -> None:
    texts = {"b": "x x x", "a": "y y", "d": "z z", "c": "w"}
    tables = [
        pa.table({"doc_id": ids, "text": [texts[doc_id] for doc_id in ids]})
        for ids in (["b", "a"], ["d", "c"])
    ]
    signatures = gather([sign(table, 16, 5) for table in tables], 16, tmp_path / "rows.bin")
    scores = pa.table({"doc_id": ["d", "a", "?", "c"], "quality_score": [0.5, 0.5, 9.0, None]})
    aligned = align(signatures, [scores], "quality_score")
    assert np.array_equal(aligned, [0.5, np.nan, np.nan, 0.5], equal_nan=True)
    day = datetime(2024, 5, 1, tzinfo=UTC)
    dates = pa.table(
        {
            "doc_id": ["c", "b", "a"],
            "fetched_at": pa.array(
                [day, day - timedelta(microseconds=1), None], pa.timestamp("us", tz="UTC")
            ),
        }
    )
    columns = {"quality_score": aligned, "first_seen": align(signatures, [dates], "fetched_at")}

    def names(keep: list[str]) -> str:
        order = keep_order(signatures, keep, columns)
        return b"".join(signatures.doc_ids[order].tolist()).decode()

    assert names(["doc_id"]) == "abcd"
    assert names(["longest"]) == "badc"
    assert names(["quality_score", "longest"]) == "adbc"
    assert names(["doc_id", "longest"]) == "abcd"
    assert names(["first_seen"]) == "bcad"
    assert names(["first_seen", "longest"]) == "bcad"
    assert names(["quality_score", "first_seen"]) == "adbc"
    with pytest.raises(KeepOrderError, match="quality_score, but there is no column"):
        keep_order(signatures, ["quality_score"], {})
    with pytest.raises(KeepOrderError, match="unknown criterion"):
        keep_order(signatures, ["newest"], columns)


def test_repeated_documents_and_missing_texts_are_refused(tmp_path: Path) -> None:
    signatures = sign(pa.table({"doc_id": ["a", "a"], "text": ["x", "y"]}), 16, 5)
    with pytest.raises(RepeatedDocumentError, match="doc_id a occurs twice"):
        gather([signatures], 16, tmp_path / "rows.bin")
    tables = [pa.table({"doc_id": ["a"], "text": ["x"]})]
    with pytest.raises(MissingTextError, match="1 of 2"):
        write_shingles(tables, {"a": 0, "b": 1}, 2, 5, tmp_path / "shingles.bin")
