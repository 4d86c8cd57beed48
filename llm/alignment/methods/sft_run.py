"""What a run of supervised fine-tuning is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm.alignment.run_file import CutRun

Packing = Literal["none", "bfd"]


@dataclass(frozen=True)
class SftRun(CutRun):
    """Supervised fine-tuning.

    Attributes:
        packing: "bfd" = several rows, each seeing itself alone, in one of `max_length`; "none".
    """

    packing: Packing

    @property
    def packed(self) -> bool:
        """Whether several rows share one of `max_length`."""
        return self.packing == "bfd"


RUN = SftRun
