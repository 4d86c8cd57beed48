"""What a step came to, read from the device once somebody wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepFigures:
    """A step in numbers.

    Attributes:
        loss: nats a token, without the z term.
        gradient_norm: of all gradients, before clipping.
        skipped: the step was not taken; see `guard.py`.
        loss_limit, norm_limit: that it was not to exceed.
        group_norms: of the gradients of parameters of each role.
        learning_rate: of this step.
        tokens: predicted in it.
        data_seconds: that this process waited for rows.
    """

    loss: float
    gradient_norm: float
    skipped: bool
    loss_limit: float
    norm_limit: float
    group_norms: dict[str, float]
    learning_rate: float
    tokens: int
    data_seconds: float


class PendingFigures:
    """Figures of a step that a GPU may still be at: they are copied when it is done, and nobody
    waits before `read`.

    Args:
        values: loss, norm, skipped, the two limits, then a norm a group; on the device.
        groups: names of those.
    """

    def __init__(
        self,
        values: Sequence[Tensor],
        groups: Sequence[str],
        learning_rate: float,
        tokens: int,
        data_seconds: float,
    ) -> None:
        self._groups = groups
        self._known = (learning_rate, tokens, data_seconds)
        kind = values[0].dtype
        made = torch.cat([value.reshape(-1).to(kind) for value in values])
        self._copied: torch.cuda.Event | None = None
        if made.is_cuda:
            self._values = torch.empty(made.shape, dtype=kind, pin_memory=True)
            self._values.copy_(made, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()
        else:
            self._values = made

    def read(self) -> StepFigures:
        """The figures; waits until the step is done."""
        if self._copied is not None:
            self._copied.synchronize()
        loss, norm, skipped, loss_limit, norm_limit, *norms = self._values.tolist()
        return StepFigures(
            loss,
            norm,
            bool(skipped),
            loss_limit,
            norm_limit,
            dict(zip(self._groups, norms, strict=True)),
            *self._known,
        )
