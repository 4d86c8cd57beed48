"""How often rows of each source are drawn, and that a run learns from them so often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.alignment.source_weights import SourceWeight, SourceWeightError, draws
from tests.llm.alignment.tiny_run import (
    instructions,
    metrics,
    model_folder,
    run_to_the_end,
)


def rows(*sources: str) -> pa.Table:
    return pa.table({"doc_id": [f"{n:032x}" for n in range(len(sources))], "source": sources})


def test_whole_weights_are_exact_and_fractions_are_shares() -> None:
    table = rows(*(["mine.jsonl"] * 400 + ["general/a.json"] * 400 + ["general/b.json"] * 200))
    weights = [SourceWeight("mine.*", 2), SourceWeight("general/a*", 0.25)]
    found = draws(table, [table], weights, 0)
    times = Counter(found.rows.tolist())
    assert all(times[at] == 2 for at in range(400))
    assert {times[at] for at in range(400, 800)} == {0, 1}
    assert 70 < sum(times[at] for at in range(400, 800)) < 130
    assert all(times[at] == 1 for at in range(800, 1000))
    assert found.told == [
        {"source": name, "rows": count, "weight": weight, "drawn": sum(times[at] for at in places)}
        for name, count, weight, places in (
            ("general/a.json", 400, 0.25, range(400, 800)),
            ("general/b.json", 200, 1.0, range(800, 1000)),
            ("mine.jsonl", 400, 2.0, range(400)),
        )
    ]
    assert (draws(table, [table], weights, 0).rows == found.rows).all()
    assert len(draws(table, [table], weights, 1).rows) != 0
    assert (draws(table, [table], weights, 1).rows.tolist()) != found.rows.tolist()
    # What a row's draws are does not depend on the others.
    half = table.slice(400, 100)
    kept = draws(half, [table], weights, 0).rows + 400
    assert kept.tolist() == [at for at in found.rows.tolist() if 400 <= at < 500]


def test_the_first_that_fits_counts() -> None:
    table = rows("a.json", "b.json")
    weights = [SourceWeight("b*", 3), SourceWeight("*", 2)]
    assert draws(table, [table], weights, 0).rows.tolist() == [0, 0, 1, 1, 1]


def test_weights_that_draw_nothing() -> None:
    table = rows("a.json", "b.json")
    with pytest.raises(SourceWeightError, match=r"'c\.json'; there are a\.json, b\.json"):
        draws(table, [table], [SourceWeight("c.json", 2)], 0)
    with pytest.raises(SourceWeightError, match="none of 2 rows is drawn"):
        draws(table, [table], [SourceWeight("*", 0)], 0)


@pytest.mark.parametrize("packing", ["none", "bfd"])
def test_a_run_learns_from_rows_as_often_as_drawn(tmp_path: Path, packing: str) -> None:
    model, path = model_folder(tmp_path), instructions(tmp_path / "rows.parquet")
    table = pq.read_table(path)
    names = ["left.json" if n % 2 else "right.json" for n in range(table.num_rows)]
    pq.write_table(table.append_column("source", pa.array(names)), path)
    weights = [{"source": "left.json", "weight": 0.0}, {"source": "right.json", "weight": 3.0}]
    counts = run_to_the_end("sft", tmp_path, (model, path), weights=weights, packing=packing)
    told = {row["source"]: row["drawn"] for row in counts["sources"]}
    train = [name for name, n in zip(names, range(len(names)), strict=True) if n % 5]
    assert told == {"left.json": 0, "right.json": 3 * train.count("right.json")}
    assert counts["train_rows"] == len(train)
    steps = len(metrics(tmp_path, "loss"))
    if packing == "none":
        assert counts["trainer_rows"] == told["right.json"]
        assert steps == -(-told["right.json"] // 4)
    else:
        assert counts["trainer_rows"] < told["right.json"]
