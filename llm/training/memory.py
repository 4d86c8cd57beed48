"""How much memory a process takes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


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
