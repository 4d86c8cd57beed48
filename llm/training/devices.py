"""Where and in what numbers a step is computed."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from llm.errors import ExpectedError

AUTO = "auto"
KINDS = ("cuda", "mps", "cpu")
# Of tuning and evaluation, which offer no device of Apple's.
CUDA_OR_CPU = ("cuda", "cpu")
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
# Names of instructions that multiply bfloat16: of x86 and of Arm, as torch and Linux write them.
_BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16", "arm_bf16", "arm_sve_bf16"}


class DeviceError(ExpectedError, ValueError):
    """A device or precision that this machine does not have."""


def find(wanted: str, kinds: Sequence[str] = KINDS) -> torch.device:
    """The device meant; "auto" = the first kind of `kinds` that is there.

    Args:
        kinds: of devices the work can be done on, the fastest first.

    Raises:
        DeviceError: it is not there.
    """
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    have = {kind: there[kind] for kind in kinds}
    if wanted == AUTO:
        wanted = next(name for name, found in have.items() if found)
    if not have.get(wanted, False):
        found = ", ".join(name for name in have if have[name])
        raise DeviceError(f"device {wanted!r} is not on this machine; it has {found}")
    return torch.device(wanted)


def require(wanted: str, processes: int) -> None:
    """Make sure that a device is there, and of GPUs one for each process.

    Raises:
        DeviceError: it is not.
    """
    if find(wanted).type == "cuda" and processes > torch.cuda.device_count():
        raise DeviceError(
            f"{processes} processes ask for a GPU each, this machine has "
            f"{torch.cuda.device_count()}"
        )


def precision_on(device: torch.device, wanted: str) -> Literal["bf16", "fp32"]:
    """ "bf16" or "fp32": what was asked for; for "auto", bf16 where the device multiplies it.

    Raises:
        DeviceError: no such precision.
    """
    if wanted == AUTO:
        return "bf16" if multiplies_bf16(device) else "fp32"
    return "bf16" if dtype(wanted) == torch.bfloat16 else "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16.

    Where it has none they are emulated: on a CPU with AVX2 alone they take thirty times as long
    as those of float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
    if device.type == "mps":
        return bf16_is_faster(device)  # Apple names no instructions
    # A CPU may have them and oneDNN be told not to use them (ONEDNN_MAX_CPU_ISA).
    usable = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)()
    return bool(usable and cpu_instructions() & _BF16_INSTRUCTIONS)


def cpu_instructions() -> set[str]:
    """Names of the CPU's instruction sets; none where nobody tells."""
    found = set()
    if hasattr(torch.cpu, "get_capabilities"):  # since PyTorch 2.12
        found = {name for name, there in torch.cpu.get_capabilities().items() if there is True}
    with contextlib.suppress(OSError):  # Linux alone has the file
        found |= set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    return found


def cpu_model() -> str:
    """Model and instruction sets of the CPU, in Linux's words; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    # "flags" of x86, "Features" of Arm.
    told = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return "\n".join(sorted(told))


def name_of(device: torch.device) -> str:
    """As its maker calls it; of a CPU also the threads and the instructions that PyTorch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    told = dict(line.partition(":")[::2] for line in cpu_model().splitlines())
    cpu = next((value.strip() for name, value in told.items() if "model name" in name), "")
    cpu = cpu or platform.processor() or platform.machine()
    if device.type == "mps":
        return f"{cpu} GPU"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{cpu}, {torch.get_num_threads()} threads, {capability}"


def bf16_is_faster(device: torch.device) -> bool:
    """Whether a product of two matrices takes less time in bfloat16 than in float32."""
    seconds = {}
    for kind in PRECISIONS.values():
        try:
            square = torch.ones(1024, 1024, dtype=kind, device=device)
            float((square @ square)[0, 0])  # reading a number waits for the device
            began = time.perf_counter()
            for _ in range(8):
                square = square @ square * 1e-3
            float(square[0, 0])
            seconds[kind] = time.perf_counter() - began
        except (RuntimeError, TypeError):  # macOS before 14 has no bfloat16
            return False
    return seconds[torch.bfloat16] < seconds[torch.float32]


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


class DoesNotFitError(ExpectedError, MemoryError):
    """The work does not fit into memory however it is cut."""


_NO_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
)


@contextlib.contextmanager
def advise_on_memory(advice: str) -> Iterator[None]:
    """The body's lack of memory is told with what to do about it.

    Raises:
        DoesNotFitError: memory did not suffice.
    """
    try:
        yield
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error):
            raise
        cause = str(error) or type(error).__name__
        raise DoesNotFitError(f"memory does not suffice ({cause}); {advice}") from error


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
