"""TensorBoard and W&B are told what the table of metrics holds; without their packages a run says
which extra to install."""

from __future__ import annotations

import builtins
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm.process.parent import StoppedError
from llm.training.loop import train
from llm.training.run_file import Execution
from llm.training.trackers import TrackerMissingError
from tests.llm.training.small_run import EXECUTION, After, all_metrics, never, run_of, trained
from tests.llm.training.spoiled import spoil


def _with(folder: Path, **named: Any) -> Execution:
    return replace(EXECUTION, checkpoint_seconds=0.0, wandb_folder=str(folder / "wb"), **named)


@pytest.mark.parametrize(
    ("fields", "package"),
    [({"tensorboard": "events"}, "tensorboard"), ({"wandb": "offline"}, "wandb")],
)
def test_a_package_that_is_not_there_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], package: str
) -> None:
    usual = builtins.__import__

    def absent(name: str, *others: Any, **named: Any) -> Any:
        if name.startswith((package, "torch.utils.tensorboard")):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return usual(name, *others, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(TrackerMissingError, match=rf"pip install .* '\.\[{package}\]'"):
        train(run_of(tmp_path, _with(tmp_path, **fields)), never())


def _scalars(folder: Path) -> Mapping[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {
        name: {event.step: event.value for event in read.Scalars(name)}
        for name in read.Tags()["scalars"]
    }


def test_event_files_hold_the_metrics(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    execution = _with(tmp_path, tensorboard=str(tmp_path / "events"))
    run = run_of(tmp_path / "run", execution, steps=40, validate_every=20)
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda step, share: 6 <= step <= 20 and share == 1)
        with pytest.raises(StoppedError):
            train(run, After(25))
        trained(run)
    [folder] = (tmp_path / "events").iterdir()
    told, expected = _scalars(folder), all_metrics(run)
    # What was gone back from is void there too.
    for name in ("loss", "learning_rate", "validation_bits_per_byte", "gradient_norm_matrix"):
        assert told[name] == pytest.approx(expected[name], rel=1e-6)
    assert set(expected) >= set(told) >= {"tokens_per_second", "memory_bytes", "skipped_steps"}


def _records(content: bytes) -> Iterator[bytes]:
    """Of W&B's file: LevelDB's log format, behind a header of seven bytes."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def _history(folder: Path) -> Iterator[dict[str, Any]]:
    from wandb.proto import wandb_internal_pb2

    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for content in _records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                yield {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in items}


def test_wandb_offline_holds_the_metrics_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    execution = _with(tmp_path, wandb="offline")
    run = run_of(tmp_path / "run", execution)
    with pytest.raises(StoppedError):
        train(run, After(5))
    trained(run)
    runs = list((tmp_path / "wb").glob("wandb/offline-run-*"))
    assert len(runs) == 2
    assert len({path.name.split("-", 3)[3] for path in runs}) == 1, "one id"
    told: dict[str, dict[int, float]] = {}
    for row in _history(tmp_path / "wb"):
        step = row.pop("step")
        for name, value in row.items():
            told.setdefault(name, {})[step] = value
    expected = all_metrics(run)
    for name in ("loss", "learning_rate", "validation_loss", "tokens_per_second"):
        assert told[name] == pytest.approx(expected[name]), name
    assert math.isfinite(told["loss"][12])
