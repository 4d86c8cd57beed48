"""Training, scoring and generation on a GPU; skipped, saying so, where there is none."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm.model import folder as model_folder
from llm.model.generation import generate
from llm.model.sampling import Sampling
from llm.model.scoring import token_logprobs
from llm.process.parent import TERMINATED
from llm.training import devices
from tests.llm.training.small_run import EXECUTION, fresh, metrics, run_of, trained, weights
from tests.llm.training.test_training_launched import TWO, Event, launched

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
GPU = replace(EXECUTION, device="cuda", threads=0)
COMPILED = replace(GPU, compile=True)


def test_auto_is_the_gpu_in_the_precision_it_multiplies(tmp_path: Path) -> None:
    result = trained(run_of(tmp_path, replace(GPU, device="auto"), precision="auto"))
    assert result["device"].startswith("cuda")
    bf16 = devices.multiplies_bf16(torch.device("cuda"))
    assert result["precision"] == ("bf16" if bf16 else "fp32")
    assert torch.cuda.get_device_capability() < (8, 0) or bf16


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_it_learns_what_a_cpu_learns(tmp_path: Path, optimiser: str, mask: bool) -> None:
    settings: dict[str, Any] = {"optimiser": optimiser, "document_mask": mask}
    here = run_of(tmp_path / "gpu", GPU, **settings)
    there = run_of(tmp_path / "cpu", **settings)
    trained(here)
    trained(there)
    # Muon on a GPU is bfloat16 inside, and amplifies rounding.
    room = 1e-4 if optimiser == "adamw" else 2e-2
    for name in ("loss", "validation_loss", "validation_bits_per_byte"):
        ours, theirs = metrics(here)[name], metrics(there)[name]
        assert ours == pytest.approx(theirs, rel=room)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_stopped_it_ends_as_if_undisturbed(tmp_path: Path, optimiser: str) -> None:
    settings: dict[str, Any] = {
        "steps": 400,
        "validate_every": 100,
        "precision": "bf16",
        "optimiser": optimiser,
    }
    whole = run_of(tmp_path / "whole", COMPILED, **settings)
    cut = run_of(tmp_path / "cut", replace(COMPILED, checkpoint_seconds=1.0), **settings)
    trained(whole)
    sent: list[int] = []

    def terminate(event: Event, process: Any) -> None:
        if event["event"] == "progress" and not sent:
            sent.append(1)
            process.send_signal(signal.SIGTERM)

    code, _ = launched(asdict(cut), tmp_path / "cut", terminate)
    assert code == TERMINATED
    code, heard = launched(asdict(cut), tmp_path / "cut")
    assert code == 0
    assert any("resumes from the checkpoint of step" in e.get("message", "") for e in heard)
    assert weights(cut) == weights(whole)
    assert metrics(cut) == metrics(whole)
    result = json.loads(Path(cut.paths.result).read_text())
    assert result["compiled"]
    assert result["resumed_from_step"] > 0


def test_a_model_trained_on_a_gpu_loads_on_a_cpu(tmp_path: Path) -> None:
    run = run_of(tmp_path, GPU)
    trained(run)
    model = model_folder.load(Path(run.paths.model))
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert all(p.isfinite().all() for p in model.parameters())


def test_more_processes_than_gpus_are_refused(tmp_path: Path) -> None:
    if torch.cuda.device_count() > 1:
        pytest.skip("there are several GPUs")
    run = run_of(tmp_path, GPU)
    code, heard = launched(asdict(run), tmp_path, command=TWO)
    assert code != 0
    assert any(event.get("type") == "DeviceError" for event in heard)


def test_generation_is_that_of_a_cpu() -> None:
    there = fresh().eval()
    here = fresh().eval().to("cuda")
    prompts = [[1, 2, 3], [4, 5, 6], [7, 8, 9, 10]]
    assert generate(here, prompts, 12, ()) == generate(there, prompts, 12, ())
    drawn = Sampling(temperature=1.0, top_k=5, top_p=0.9, seed=1)
    assert generate(here, prompts, 12, (), drawn) == generate(there, prompts, 12, (), drawn)


def test_log_probabilities_are_those_of_a_cpu() -> None:
    random = np.random.default_rng(0)
    rows = [random.integers(1, 1000, size=n).tolist() for n in (5, 9, 17, 3)]
    masks = [np.arange(len(row)) > 1 for row in rows]

    def scored(device: str) -> dict[int, Any]:
        model = fresh().eval().to(device)
        found = token_logprobs(model, rows, masks, 32, torch.device(device), lambda *_: None)
        return dict(found)

    here, there = scored("cuda"), scored("cpu")
    assert here.keys() == there.keys()
    for index, values in there.items():
        assert here[index] == pytest.approx(values, abs=1e-4)
