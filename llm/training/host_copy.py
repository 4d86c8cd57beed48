"""A copy of tensors in the host's memory, so that training may change them while they are written.

From a GPU they go to pinned memory, in the order of its work: the next step is queued at once, and
waits for no disk. Elsewhere it is a plain copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from llm.training.memory import available_bytes
from llm.training.tensor_files import Piece

Files = Mapping[str, Sequence[Piece]]
# Of what memory has room for, the share that a copy may take.
_SHARE = 0.5


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
        if wanted > _SHARE * available_bytes():
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
