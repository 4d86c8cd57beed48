"""Compiled code is kept by machine: code for other vectors gives wrong numbers."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from llm.training import compilation, devices
from tests.llm.training.small_run import EXECUTION, metrics, run_of
from tests.llm.training.test_training_launched import launched

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    return tmp_path


def _folder(cache: Path) -> Path:
    compilation.choose_cache(cache, CPU)
    return Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])


def test_machines_that_share_a_folder_share_no_code(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = _folder(cache)
    assert here.parent == cache
    assert _folder(cache) == here
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
    monkeypatch.setattr(devices, "cpu_model", lambda: "another")
    assert _folder(cache).parent == cache
    assert _folder(cache) != here


def test_the_folder_that_the_environment_names_is_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache / "mine"))
    assert _folder(cache).parent == cache / "mine"


def test_code_is_not_kept_where_the_compiler_cannot_read_its_path(cache: Path) -> None:
    assert " " not in str(_folder(cache / "My models"))


@pytest.mark.long
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="no wider vectors than AVX2 here"
)
def test_a_run_with_narrower_vectors_takes_no_code_for_wider_ones(tmp_path: Path) -> None:
    losses = []
    for name in ("avx512", "avx2"):
        run = run_of(tmp_path / name, replace(EXECUTION, compile=True), steps=3, precision="fp32")
        variables = {"ATEN_CPU_CAPABILITY": name, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
        assert launched(asdict(run), tmp_path / name, **variables)[0] == 0
        losses.append(metrics(run)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
