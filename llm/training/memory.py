"""How much memory a process takes, and how much there is."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil
import torch

_GROUP = Path("/sys/fs/cgroup")


def memory_in_use(device: torch.device) -> int:
    """Bytes: of a GPU the most that was allocated so far; of a CPU's what is resident now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(resident) * resource.getpagesize()
    except OSError:  # not on Linux: the most so far, in KiB but for Apple's bytes
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10


def free_bytes(device: torch.device) -> int:
    """Memory of the device that a step can still take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + held
    if device.type == "mps":
        return min(available_bytes(), int(torch.mps.recommended_max_memory()))
    return available_bytes()


def available_bytes() -> int:
    """Of the host's memory, what can be had without swapping, within the limit of a container."""
    available = psutil.virtual_memory().available
    try:
        limit = int((_GROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_GROUP / "memory.current").read_text(encoding="ascii"))
        stated = (_GROUP / "memory.stat").read_text(encoding="ascii").split()
        # Pages of files that nobody uses are given back when memory is asked for.
        spare = int(dict(zip(stated[::2], stated[1::2], strict=True)).get("inactive_file", 0))
    except (OSError, ValueError):  # no group, or one without a limit
        return available
    return max(0, min(available, limit - max(0, used - spare)))


def start_peak(device: torch.device) -> int | None:
    """Bytes in use, from here on the peak is counted; `None` where nobody counts."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        return _status("VmRSS")
    except (OSError, ValueError):
        return None


def peak_bytes(device: torch.device) -> int:
    """The most bytes in use since `start_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise ValueError(f"no {name} in /proc/self/status")
