"""Runs in which some steps go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from llm.training import step
from llm.training.step import Stepper

# Whether a step, counted from 1, goes wrong with this share of the learning rate.
Spoils = Callable[[int, float], bool]


def spoil(
    patch: pytest.MonkeyPatch, spoils: Spoils, factor: float = float("nan"), tried: Any = None
) -> None:
    """Multiply gradients by this factor in such steps; losses stay what they are.

    Args:
        tried: a list that is given the number of every step that is begun.
    """
    called, summed_loss = Stepper.__call__, step.summed_loss
    now = [1.0]

    def spoiled_call(self: Stepper, number: int, rows: NDArray[np.int64]) -> Any:
        if tried is not None:
            tried.append(number + 1)
        now[0] = factor if spoils(number + 1, self.rate_share) else 1.0
        return called(self, number, rows)

    def spoiled_loss(*arguments: Any) -> tuple[Tensor, Tensor]:
        total, nll = summed_loss(*arguments)
        return total * now[0], nll

    patch.setattr(Stepper, "__call__", spoiled_call)
    patch.setattr(step, "summed_loss", spoiled_loss)
