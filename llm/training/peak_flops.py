"""How fast a GPU multiplies matrices of bfloat16, by its maker's data sheet."""

from __future__ import annotations

import re

import torch

# Dense products with sums in float32, TFLOP/s a device; words of its name that must be there, the
# more particular ones first. Sources: NVIDIA's data sheets of A100 (2021), H100 and H200 (2023;
# half of what they give "with sparsity"), B200 and GB200 (2024), L4, L40, L40S, A10 and RTX A6000;
# NVIDIA's white papers on Ampere GA102, Ada and Blackwell for the GeForces; AMD's of MI300X.
_TERAFLOPS: tuple[tuple[str, float], ...] = (
    ("GB200", 2500.0),
    ("B200", 2250.0),
    ("GH200", 989.0),
    ("H200 NVL", 835.5),
    ("H200", 989.0),
    ("H100 NVL", 835.5),
    ("H100 PCIe", 756.0),
    ("H100", 989.0),
    ("H800", 989.0),
    ("A100", 312.0),
    ("A800", 312.0),
    ("A6000", 154.8),
    ("A10", 125.0),
    ("L40S", 362.0),
    ("L40", 181.0),
    ("L4", 121.0),
    ("5090", 209.5),
    ("4090", 165.2),
    ("3090 Ti", 80.0),
    ("3090", 71.0),
    ("MI300X", 1307.4),
)


def peak_flops_of(name: str) -> float | None:
    """FLOP/s of the GPU of this name, as `torch.cuda.get_device_name` gives it; `None` where it is
    not known."""
    words = set(re.split(r"[^A-Za-z0-9]+", name))
    for wanted, teraflops in _TERAFLOPS:
        if words.issuperset(wanted.split()):
            return teraflops * 1e12
    return None


def peak_flops(device: torch.device, precision: str) -> float | None:
    """FLOP/s that MFU is a share of; `None` for CPUs, float32 and GPUs that are not listed."""
    if device.type != "cuda" or precision != "bf16":
        return None
    return peak_flops_of(torch.cuda.get_device_name(device))
