"""What a run file must hold, and what makes two runs the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm.alignment.methods.dpo_run import DpoRun
from llm.alignment.methods.sft_run import SftRun
from llm.alignment.run_file import (
    parse_run,
    read_run,
    run_digest,
)
from llm.process.run_file import RunFileError
from tests.llm.alignment.tiny_run import run_record


def record(folder: Path, method: str = "sft") -> dict[str, Any]:
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "rows.parquet").write_bytes(b"rows")
    return run_record(method, folder, folder / "model", folder / "rows.parquet")


def test_each_method_has_its_own_keys(tmp_path: Path) -> None:
    sft, dpo = (parse_run(record(tmp_path, name), "run.json") for name in ("sft", "dpo"))
    assert isinstance(sft, SftRun)
    assert isinstance(dpo, DpoRun)
    assert (sft.packing, dpo.beta) == ("none", 0.1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"method": "ppo"}, "method is 'ppo'"),
        ({"beta": 0.1}, "no such field: beta; there are method"),
        ({"epochs": "2"}, "epochs must be int, found '2'"),
        ({"epochs": True}, "epochs must be int, found True"),
        ({"examples": "one.parquet"}, "examples must be a list"),
        ({"precision": "fp8"}, "precision is 'fp8'; it is one of auto, bf16, fp32"),
        ({"execution": ["device", "seeds"]}, "execution names 'seeds', which is no setting"),
        ({"execution": ["output"]}, "execution names 'output', which is no setting"),
        ({"micro_batch_size": 3}, "3 does not divide batch_size 4"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record(tmp_path) | change))
    with pytest.raises(RunFileError, match=named) as caught:
        read_run(path)
    assert str(path) in str(caught.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    given = record(tmp_path)
    del given["learning_rate"]
    with pytest.raises(RunFileError, match="missing field: learning_rate"):
        parse_run(given, "run.json")


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFileError, match="no readable run file"):
        read_run(tmp_path / "run.json")


def test_the_digest_follows_what_decides_the_result(tmp_path: Path) -> None:
    here, there = record(tmp_path / "here"), record(tmp_path / "there")
    digest = run_digest(parse_run(here, "here"))
    assert run_digest(parse_run(there, "there")) == digest
    elsewhere = here | {"device": "auto", "threads": 4, "checkpoint_seconds": 1.0}
    assert run_digest(parse_run(elsewhere, "here")) == digest
    assert run_digest(parse_run(here | {"seed": 1}, "here")) != digest
    (tmp_path / "here" / "rows.parquet").write_bytes(b"ROWS")
    assert run_digest(parse_run(here, "here")) != digest


def test_the_micro_batch_is_part_of_a_preference_run_alone(tmp_path: Path) -> None:
    for method, same in (("sft", True), ("dpo", False)):
        whole = record(tmp_path, method)
        digests = {run_digest(parse_run(whole | {"micro_batch_size": n}, "x")) for n in (0, 2)}
        assert (len(digests) == 1) is same
