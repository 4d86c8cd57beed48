"""Runs over a mixture: stopped or cut otherwise, in one process or two, they see the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from llm.process.parent import StoppedError
from llm.tokens import token_file
from llm.training import loop
from llm.training.mixture import Phase, Share
from llm.training.run_file import Run
from llm.training.shared_tokens import open_tokens
from tests.llm.training.parallel.test_several_processes import case, done, far, together
from tests.llm.training.small_run import (
    EXECUTION,
    LENGTH,
    After,
    Processes,
    metrics,
    run_of,
    trained,
    weights,
)

# 12 steps of 8 rows: docs are at their limit after 18 of them, then code goes on alone.
PHASES = (
    Phase(9, (Share("code", 3.0, 0.0), Share("docs", 1.0, 1.5))),
    Phase(12, (Share("docs", 1.0, 0.0),)),
)
DOCS = 8
ROUNDING = 1e-4  # eight rows learned by heart at a high rate; other rows would be 1e-2 apart


def mixed(folder: Path, execution: Any = EXECUTION, **settings: Any) -> Run:
    """The run of the other tests, whose last train rows are another source's."""
    run = run_of(folder, execution, **settings)
    path = Path(run.paths.sequences) / "part0.parquet"
    table = pq.read_table(path)
    train = table.column("split").to_pylist().count("train")
    held = table.num_rows - train
    sources = ["code"] * (train - DOCS) + ["docs"] * DOCS + [None] * held
    pq.write_table(table.append_column("source", pa.array(sources, pa.string())), path)
    return replace(run, phases=PHASES)


def test_a_run_stopped_and_cut_otherwise(tmp_path: Path) -> None:
    whole, cut, pieces = (mixed(tmp_path / name) for name in ("whole", "cut", "pieces"))
    result = trained(whole)
    code = len(open_tokens(whole, Processes(0, 1)).sources["code"])
    assert result["sources"] == [
        {"source": "code", "tokens": (72 - 12) * LENGTH, "epochs": 60 / code},
        {"source": "docs", "tokens": (12 + 24) * LENGTH, "epochs": 36 / DOCS},
    ]
    with pytest.raises(StoppedError, match="after step 7"):
        loop.train(cut, After(7))
    assert trained(cut)["resumed_from_step"] == 7
    assert weights(cut) == weights(whole)
    assert metrics(cut) == metrics(whole)
    pieces = replace(pieces, execution=replace(EXECUTION, micro_batch_rows=3))
    trained(pieces)
    assert far(pieces, whole)["loss"] < ROUNDING
    plain = replace(mixed(tmp_path / "plain"), phases=())
    assert "sources" not in trained(plain)
    assert metrics(plain)["loss"] != metrics(whole)["loss"]


def test_what_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(mixed(tmp_path))
    told = capsys.readouterr().out
    assert "docs 4.50" in told
    assert "from step 7 on docs has reached its max_epochs and the others share its weight" in told


@pytest.mark.long
def test_two_processes(tmp_path: Path) -> None:
    one, two = mixed(tmp_path / "one"), mixed(tmp_path / "two")
    trained(one)
    done(together(2, tmp_path, [case(two)]))
    assert far(two, one)["loss"] < ROUNDING
    assert json.loads(Path(two.paths.result).read_text())["processes"] == 2


class Waiting(Processes):
    """The second of two, which is told that the first is not there yet, and then where it is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(1, 2)
        self.asked: list[bool] = []
        self.folder = folder

    def any(self, flag: bool) -> bool:
        self.asked.append(flag)
        return len(self.asked) < 3

    def agree(self, value: str) -> str:
        assert value == ""
        return str(self.folder)


def test_others_wait_for_the_first_to_unpack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = mixed(tmp_path)
    built = open_tokens(run, Processes(0, 1))
    monkeypatch.setattr(token_file, "unpack", None)
    waiting = Waiting(built.folder)
    opened = open_tokens(run, waiting)
    assert waiting.asked == [False] * 3
    assert np.array_equal(opened.train, built.train)
    assert opened.sources["docs"] == range(len(built.train) - DOCS, len(built.train))


def test_fewer_rows_than_a_batch_and_no_validation(tmp_path: Path) -> None:
    run = mixed(tmp_path, batch_rows=500, steps=1)
    path = Path(run.paths.sequences) / "part0.parquet"
    table = pq.read_table(path)
    train = table.filter(pc.equal(table.column("split"), "train"))
    pq.write_table(train, path)
    run = replace(run, phases=(Phase(1, PHASES[0].mixture[:1]),))
    code = train.num_rows - DOCS
    assert trained(run)["sources"][0]["epochs"] == pytest.approx(500 / code)
    told = set(metrics(run))
    assert {"loss", "gradient_norm", "learning_rate"} <= told
    assert not any(name.startswith("validation") for name in told)
