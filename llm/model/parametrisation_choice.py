"""Which parametrisation a run has, as its settings say it; what that means is in
`llm/model/parametrisation.py`, which needs torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["standard", "mup"]


@dataclass(frozen=True)
class Parametrisation:
    """Which one, and from which sizes it counts.

    Attributes:
        base_width, base_layers, base_head_dim: of the model whose rates are right; "standard" has
            no use for them.
        zero_init: o and down, which write to the residual stream, start as zeros: each block
            begins as the identity.
    """

    kind: Kind
    base_width: int
    base_layers: int
    base_head_dim: int
    zero_init: bool

    @property
    def neutral(self) -> bool:
        """Whether it changes nothing: what there was before there was a choice."""
        return self.kind == "standard" and not self.zero_init

    @property
    def described(self) -> str:
        """For the user."""
        if self.kind == "standard":
            return "the standard parametrisation"
        sizes = f"width {self.base_width}, {self.base_layers} layers, heads of {self.base_head_dim}"
        return f"mup from {sizes}"

    def same_rates(self, other: Parametrisation) -> bool:
        """Whether parameters learn as fast with the other one."""
        if self.kind == other.kind == "standard":
            return True
        return replace(self, zero_init=other.zero_init) == other


STANDARD = Parametrisation("standard", 256, 6, 64, zero_init=False)
