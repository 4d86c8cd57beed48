"""run.json: what is wrong in it is named; what decides the result is in the digest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from llm.model.architecture import ArchitectureError
from llm.process.run_file import RunFileError
from llm.training.mixture import Phase, Share
from llm.training.run_file import read
from tests.llm.training.small_run import ARCHITECTURE, EXECUTION, NO_TASKS, OPTIMISATION, Paths, Run

PATHS = Paths("s", "t", "", "k", "c", "m", "n", "e", "r")
RUN = Run("1" * 64, PATHS, ARCHITECTURE, OPTIMISATION, EXECUTION, (), NO_TASKS)
Record = dict[str, Any]


def _written(folder: Path, change: Callable[[Record], Any]) -> Path:
    record = asdict(RUN)
    changed = change(record)
    path = folder / "run.json"
    path.write_text(json.dumps(record if changed is None else changed))
    return path


def test_round_trip(tmp_path: Path) -> None:
    assert read(_written(tmp_path, lambda record: None)) == RUN
    mixed = (Phase(5, ()), Phase(9, (Share("crawl", 0.5, 4.0), Share("docs", 0.5, 0.0))))
    phases = [asdict(phase) for phase in mixed]
    assert read(_written(tmp_path, lambda r: r.update(phases=phases))).phases == mixed
    # JSON has no difference between 1 and 1.0.
    whole = _written(tmp_path, lambda r: r["optimisation"].update(clip=1))
    assert read(whole).optimisation.clip == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["optimisation"].update(stepz=1), "no such field: optimisation.stepz"),
        (lambda r: r["paths"].pop("model"), "missing field: paths.model"),
        (lambda r: r.update(more=1), "no such field: more"),
        (lambda r: r.pop("execution"), "missing field: execution"),
        (lambda r: r["optimisation"].update(steps="9"), "steps must be int, found '9'"),
        (lambda r: r["optimisation"].update(steps=9.5), "optimisation.steps must be int"),
        (lambda r: r["optimisation"].update(steps=True), "optimisation.steps must be int"),
        (
            lambda r: r["optimisation"].update(precision="fp8"),
            "optimisation.precision is 'fp8'; it is one of auto, bf16, fp32",
        ),
        (lambda r: r["execution"].update(device=0), "execution.device is 0; it is one of auto, "),
        (lambda r: r["execution"].update(compile=1), "execution.compile must be bool, found 1"),
        (lambda r: r["architecture"].update(rope_theta=None), "rope_theta must be float"),
        (lambda r: r.update(execution=[]), "execution must be an object"),
        (lambda r: r.update(data_id=7), "data_id must be str, found 7"),
        (lambda r: [r], "must be an object"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    tmp_path: Path, change: Callable[[Record], Any], message: str
) -> None:
    def only(record: Record) -> Any:
        changed = change(record)
        return changed if isinstance(changed, list) else None

    path = _written(tmp_path, only)
    with pytest.raises(RunFileError) as raised:
        read(path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match=r"absent\.json"):
        read(tmp_path / "absent.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFileError, match="no readable run file"):
        read(tmp_path / "run.json")


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    path = _written(tmp_path, lambda r: r["architecture"].update(head_dim=15))
    with pytest.raises(ArchitectureError, match="head_dim 15"):
        read(path)


def test_what_decides_is_in_the_identity(tmp_path: Path) -> None:
    def identity(run: Run, **paths: str) -> str:
        named = replace(run.paths, tokenizer=str(tmp_path), **paths)
        return json.dumps(replace(run, paths=named).identity())

    start = tmp_path / "start"
    start.mkdir()
    (start / "config.json").write_text("{}")
    (start / "model.safetensors").write_bytes(b"one")
    (tmp_path / "tokenizer.json").write_text("{}")
    plain = identity(RUN)
    found = [
        plain,
        identity(RUN, start=str(start)),
        identity(replace(RUN, data_id="2")),
        identity(replace(RUN, optimisation=replace(OPTIMISATION, precision="bf16"))),
        identity(replace(RUN, architecture=replace(ARCHITECTURE, qk_norm=False))),
    ]
    (start / "model.safetensors").write_bytes(b"two")
    found.append(identity(RUN, start=str(start)))
    found += [
        identity(replace(RUN, phases=(Phase(9, ()),))),
        identity(replace(RUN, phases=(Phase(9, (Share("crawl", 1.0, 0.0),)),))),
    ]
    assert identity(RUN, scratch="x", model="y", sequences="z") == plain
    assert identity(replace(RUN, execution=replace(EXECUTION, threads=8))) == plain
    (tmp_path / "tokenizer.json").write_text("{ }")
    found.append(identity(RUN))
    assert len(set(found)) == 9
