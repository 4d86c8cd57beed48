"""Repeated ids are found, whatever parts and row groups they are in, and however long they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.engine.errors import ConservationError
from tasks.engine.run.checks import check_unique
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Data
from tasks.engine.store.manifest import File
from tasks.engine.store.store import Store
from tests.tasks.engine.small_chain import READ, TEXTS

STAGE = replace(READ, outputs={"texts": READ.outputs["texts"]})


def written(folder: Path, *parts: list[str]) -> Out:
    """An attempt whose table `texts` has these ids, a list a part, two rows a group."""
    files = []
    for number, ids in enumerate(parts):
        path = folder / "texts" / f"part{number:03}.parquet"
        path.parent.mkdir(exist_ok=True)
        table = pa.table([ids, ["text"] * len(ids)], schema=TEXTS)
        pq.write_table(table, path, row_group_size=2)
        files.append(
            File(path=path.name, rows=len(ids), bytes=path.stat().st_size, sha256="0" * 64)
        )
    data = Data(Store(str(folder)), "texts", "", TEXTS, lambda: files, None)
    return cast("Out", SimpleNamespace(data=lambda _name: data))


def ids(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [ids(1)],
        [ids(1, 2, 3, 4, 5), ids(6), ids(7, 8)],
        [["a", "bb", "ccc"], ["b", "aa"]],
        [ids(1, 2), ["1", "2"]],
        [ids(*range(50)), *[ids(number) for number in range(50, 90)]],
    ],
)
def test_ids_that_differ_pass(tmp_path: Path, parts: list[list[str]]) -> None:
    check_unique(STAGE, written(tmp_path, *parts))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([ids(1, 2, 3, 1)], r"1 doc_id more than once: 0{31}1$"),
        ([ids(1, 2, 3), ids(4), ids(5, 3)], r"1 doc_id more than once: 0{31}3$"),
        (
            [ids(*range(9)), ids(*range(9))],
            r"9 doc_ids more than once: (0{31}\d(, )?){5}$",
        ),
        ([["a", "bb"], ["ccc", "bb"]], r"1 doc_id more than once: bb$"),
        ([[*ids(1), "x"], ids(1)], r"1 doc_id more than once: 0{31}1$"),
    ],
)
def test_an_id_that_occurs_twice_is_named(
    tmp_path: Path, parts: list[list[str]], told: str
) -> None:
    out: Any = written(tmp_path, *parts)
    with pytest.raises(ConservationError, match=f"read.texts: {told}"):
        check_unique(STAGE, out)
