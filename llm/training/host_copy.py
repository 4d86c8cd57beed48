"""A copy of tensors in the host's memory, so that training may change them while they are written.

From a GPU they go to pinned memory, in the order of its work: the next step is queued at once, and
waits for no disk. Elsewhere it is a plain copy.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from llm.training.tensor_files import Piece

Files = Mapping[str, Sequence[Piece]]
# Of what memory has room for, the share that a copy may take.
_SHARE = 0.5
_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


class HostCopy:
    """Copies what files are to hold; one copy at a time, which the next one overwrites."""

    def __init__(self) -> None:
        self._pinned: dict[tuple[str, str], Tensor] = {}
        self._arrived: torch.cuda.Event | None = None

    def take(self, files: Files) -> Files | None:
        """The same files with copies that nobody changes; none where memory has no room for them.

        Copies from a GPU are whole after `wait`.
        """
        wanted = sum(
            piece.bytes
            for name, pieces in files.items()
            for piece in pieces
            if (name, piece.name) not in self._pinned
        )
        if wanted > _SHARE * available():
            return None
        try:
            copied = {
                name: [replace(piece, value=self._copy(name, piece)) for piece in pieces]
                for name, pieces in files.items()
            }
        except (RuntimeError, MemoryError):  # pinned memory may be bounded otherwise
            self._pinned.clear()
            return None
        self._arrived = torch.cuda.current_stream().record_event() if self._pinned else None
        return copied

    def wait(self) -> None:
        """Until the copies are whole."""
        if self._arrived is not None:
            self._arrived.synchronize()

    def _copy(self, file: str, piece: Piece) -> Tensor:
        value = piece.value.detach()
        if not value.is_cuda:
            return value.to("cpu", copy=True)
        key = (file, piece.name)
        buffer = self._pinned.get(key)
        if buffer is None or buffer.shape != value.shape or buffer.dtype != value.dtype:
            buffer = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            self._pinned[key] = buffer
        return buffer.copy_(value, non_blocking=True)


def available() -> float:
    """Bytes of memory that can be had without swapping, as Linux and a container's limit say; where
    nobody says, a quarter of what the machine has."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                found.append(1024.0 * int(rest.split()[0]))
    with contextlib.suppress(OSError, ValueError):
        limit = float((_CGROUP / "memory.max").read_text(encoding="ascii"))
        found.append(limit - float((_CGROUP / "memory.current").read_text(encoding="ascii")))
    if found:
        return max(0.0, min(found))
    return 0.25 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
