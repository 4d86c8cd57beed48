"""Where and in what numbers a step is computed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}


class DeviceError(ValueError):
    """A device or precision that this machine does not have."""


def find(wanted: str) -> torch.device:
    """The device meant; "auto" = a GPU if there is one.

    Raises:
        DeviceError: it is not there.
    """
    have = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if wanted == "auto":
        wanted = next(name for name in ("cuda", "mps", "cpu") if have[name])
    if not have.get(wanted, False):
        found = ", ".join(name for name, there in have.items() if there)
        raise DeviceError(f"device {wanted!r} is not on this machine; it has {found}")
    return torch.device(wanted)


def dtype(precision: str) -> torch.dtype:
    """The type matrices are multiplied in.

    Raises:
        DeviceError: no such precision.
    """
    if precision not in PRECISIONS:
        raise DeviceError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Matrix products in bfloat16, all else in float32; nothing at all for fp32."""
    if dtype(precision) == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class DoesNotFitError(MemoryError):
    """The work does not fit into memory however it is cut."""


_NO_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
)


def cpu_multiplies_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16; without them float32 is faster."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True  # no way to tell; nothing to warn of
    words = set(text.split())
    return bool(words & _CPU_FLAGS)


def widest(device: torch.device) -> torch.dtype:
    """The type long sums are kept in: float64, or float32 on Apple's GPUs, which have no other."""
    return torch.float32 if device.type == "mps" else torch.float64


# What may say that memory did not suffice; `is_out_of_memory` decides.
MEMORY_ERRORS = (RuntimeError, MemoryError)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of `MEMORY_ERRORS` says that memory did not suffice, on a GPU or a CPU.

    PyTorch has a type for it that its own allocator raises, Python has one that is also NumPy's,
    Arrow's and what a `std::bad_alloc` of C++ becomes; CUDA, cuBLAS, Triton, Metal and the CPU's
    allocator are known by what they say.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return any(words in text for words in _NO_MEMORY)
