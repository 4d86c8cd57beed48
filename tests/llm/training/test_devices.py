"""Precision by what the device can do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from llm.training import devices

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ({"avx2", "fma3"}, "fp32"),
        ({"avx2", "avx512_f", "avx512_bw"}, "fp32"),
        ({"avx2", "avx512_bf16"}, "bf16"),
        ({"avx2", "amx_bf16", "amx_tile"}, "bf16"),
        ({"asimd", "svebf16"}, "bf16"),
    ],
)
def test_auto_goes_by_the_cpu_s_instructions(
    monkeypatch: pytest.MonkeyPatch, instructions: set[str], expected: str
) -> None:
    monkeypatch.setattr(devices, "cpu_instructions", lambda: instructions)
    # As on a machine whose oneDNN may use all it has.
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    assert devices.precision_on(CPU, "auto") == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16")])
def test_auto_goes_by_the_gpu_s_generation(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert devices.precision_on(torch.device("cuda"), "auto") == expected


@pytest.mark.parametrize(
    ("cuda", "mps", "every", "without_apple_s"),
    [
        (True, True, "cuda", "cuda"),
        (False, True, "mps", "cpu"),
        (False, False, "cpu", "cpu"),
    ],
)
def test_auto_is_the_fastest_device_that_the_work_can_be_done_on(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, every: str, without_apple_s: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.find("auto").type == every
    assert devices.find("auto", devices.CUDA_OR_CPU).type == without_apple_s
    with pytest.raises(devices.DeviceError, match=r"'mps' is not on this machine; it has .*cpu$"):
        devices.find("mps", devices.CUDA_OR_CPU)


def test_what_is_asked_for_is_taken() -> None:
    assert devices.precision_on(CPU, "bf16") == "bf16"
    assert devices.precision_on(CPU, "fp32") == "fp32"
    with pytest.raises(devices.DeviceError, match="fp8"):
        devices.precision_on(CPU, "fp8")


def test_where_onednn_is_held_to_avx2_auto_is_fp32() -> None:
    code = "import torch; from llm.training.devices import precision_on as p; "
    code += "print(p(torch.device('cpu'), 'auto'))"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "fp32"


def test_the_measured_choice_times_both() -> None:
    """Taken on Apple's GPUs; here it must agree with a CPU that emulates bfloat16."""
    if not devices.multiplies_bf16(CPU):
        assert not devices.bf16_is_faster(CPU)
    else:
        assert isinstance(devices.bf16_is_faster(CPU), bool)
