"""Data and clocks that a run does not expect: it says so, or gets along."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.tokens.token_file import BadSequencesError
from llm.training.batches import NoSequencesError
from llm.training.loop import train
from llm.training.run_file import Run
from tests.llm.tokens.small_tokenizer import SIZE
from tests.llm.training.small_run import EXECUTION, LENGTH, metrics, never, run_of, trained, weights


def _only(run: Run, split: str, rows: int) -> None:
    """Leave so many rows of a split, and none of the other."""
    path = Path(run.paths.sequences) / "part0.parquet"
    table = pq.read_table(path)
    kept = [row for row in table.to_pylist() if row["split"] == split][:rows]
    pq.write_table(pa.Table.from_pylist(kept, schema=table.schema), path)


def test_fewer_rows_than_a_batch_are_repeated_in_it(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=3)
    _only(run, "train", 3)
    result = trained(run)
    assert result["tokens"] == 3 * 8 * LENGTH
    assert result["epochs"] == pytest.approx(8.0)
    assert metrics(run)["loss"][3] < metrics(run)["loss"][1]


def test_without_validation_rows_it_says_so_and_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, steps=3)
    _only(run, "train", 100)
    trained(run)
    assert "validation_loss" not in metrics(run)
    messages = [
        json.loads(line).get("message", "") for line in capsys.readouterr().out.splitlines()
    ]
    assert "there are no validation sequences: nothing is measured on any" in messages


def test_without_training_rows_it_ends(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    _only(run, "validation", 100)
    with pytest.raises(NoSequencesError, match="there are no training sequences"):
        train(run, never())


def test_tokens_of_a_larger_vocabulary_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    smaller = replace(run.architecture, vocabulary_size=SIZE - 128)
    with pytest.raises(BadSequencesError, match="vocabulary"):
        train(replace(run, architecture=smaller), never())


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day forwards, then two backwards: seconds between checkpoints are no wall clock's."""
    hourly = replace(EXECUTION, checkpoint_seconds=3600.0)
    plain, jumped = (run_of(tmp_path / name, hourly) for name in ("plain", "jumped"))
    trained(plain)
    days, clock = [0.0], time.time

    def jumping() -> float:
        days[0] = 1.0 if days[0] <= 0 else -1.0
        return clock() + 86_400 * days[0]

    monkeypatch.setattr(time, "time", jumping)
    trained(jumped)
    assert weights(jumped) == weights(plain)
    kept = [path.name for path in (Path(jumped.paths.scratch) / "checkpoints").iterdir()]
    assert sorted(kept) == ["step-00000007", "step-00000012"]  # before the decay, and the last
