"""Which strategy a run takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llm.training.ddp import Ddp
from llm.training.distributed import Processes
from llm.training.fsdp import Fsdp
from llm.training.strategy_choice import NotSingleError, choose
from tests.llm.training.small_run import CPU, EXECUTION, run_of


@pytest.mark.parametrize(
    ("parallel", "processes", "expected"),
    [("auto", 1, "single"), ("ddp", 1, "single"), ("auto", 2, "ddp"), ("ddp", 2, "ddp")],
)
def test_on_a_cpu(tmp_path: Path, parallel: Any, processes: int, expected: str) -> None:
    run = run_of(tmp_path, replace(EXECUTION, parallel=parallel))
    assert choose(run, CPU, Processes(0, processes)).name == expected


def test_single_is_one_process(tmp_path: Path) -> None:
    run = run_of(tmp_path, replace(EXECUTION, parallel="single"))
    with pytest.raises(NotSingleError, match="2 processes were started"):
        choose(run, CPU, Processes(0, 2))


@pytest.mark.parametrize(("gigabytes", "expected"), [(40, Ddp), (20, Fsdp)])
def test_auto_shares_out_what_does_not_fit_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: int, expected: type
) -> None:
    """A thousand million parameters take 16 GB, of 0.6 of a GPU's memory."""
    run = run_of(tmp_path)
    wide = replace(run.architecture, vocabulary_size=10**9 // run.architecture.hidden_size)
    found = SimpleNamespace(total_memory=gigabytes << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    monkeypatch.setattr(
        "llm.training.fsdp._mesh",
        lambda *_: SimpleNamespace(ndim=1, size=lambda dimension: 2),
    )
    chosen = choose(replace(run, architecture=wide), torch.device("cuda"), Processes(0, 2))
    assert isinstance(chosen, expected)
