"""What is asked of `verbatim`; plans import it, so it imports no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verbatim:
    """What is measured, and on how much.

    Attributes:
        index: folder of the blocks of each set, none or one.
        prompts: so many of validation are answered; 0 = none.
        tokens: of the shortest span that counts.
    """

    index: tuple[Path, ...]
    prompts: int
    tokens: int
