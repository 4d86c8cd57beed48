"""Memory of a model that is read from end to end at every step."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

_REGION = 64 << 20
_LINE = 64


class Pages:
    """Tensors of zeros. On a CPU they lie one behind another in pages of 2 MB, where the system has
    them to give: a core reads a third more a second through them than through those of 4 kB."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._large = device.type == "cpu" and hasattr(mmap, "MADV_HUGEPAGE")
        self._region: mmap.mmap | None = None
        self._taken = 0

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """The next one. Its memory is freed with the last tensor of its region."""
        count = math.prod(shape)
        if not self._large or not count:
            return torch.zeros(shape, dtype=dtype, device=self._device)
        size = count * dtype.itemsize
        if self._region is None or self._taken + size > len(self._region):
            self._region, self._taken = _region(max(size, _REGION)), 0
        found = torch.frombuffer(self._region, dtype=dtype, count=count, offset=self._taken)
        self._taken += -(-size // _LINE) * _LINE
        return found.view(*shape)


def _region(size: int) -> mmap.mmap:
    """Memory of which only what is written to is really taken."""
    region = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without large pages
        region.madvise(mmap.MADV_HUGEPAGE)
    return region
