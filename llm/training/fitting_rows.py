"""How many rows at once a start found to fit into memory, for the next one."""

from __future__ import annotations

from pathlib import Path


class FittingRows:
    """Remembers it beside the checkpoints.

    Args:
        scratch: folder that outlives a start.
    """

    def __init__(self, scratch: Path) -> None:
        self._path = scratch / "micro_batch_rows"

    def remember(self, rows: int) -> None:
        """This many fit."""
        self._path.write_text(str(rows))

    def known(self) -> int:
        """What an earlier start found; 0 if there was none."""
        text = self._path.read_text() if self._path.is_file() else ""
        return int(text) if text.isdigit() else 0
