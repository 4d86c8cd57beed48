"""Which steps are not taken: judged on the device, so that nobody waits for a number.

A step whose loss or gradient norm is not finite, or lies more than so many standard deviations
above the mean of the last 128 steps, is left out; weights and optimiser states stay what they were
(after OLMo 2's SkipStepOptimizer, Walsh et al. 2024). What is judged is the same number in all
processes, and so is the verdict.

An outlier enters the 128 as the limit it went over. So one of them hardly moves the limit, and a
level that really is another one, as where the data become different ones, is accepted after a few
steps instead of never.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from llm.training import devices

WINDOW = 128  # steps a new one is compared with
# Fewer say little about how far they spread, and the first ones of a run fall fast.
MINIMUM = 64


class Verdict(NamedTuple):
    """On a step.

    Attributes:
        skip: bool (): it is left out.
        limits: (2,): what loss and gradient norm were not to exceed; infinite where nothing is
            known yet.
    """

    skip: Tensor
    limits: Tensor


class Guard:
    """Judges steps, one after the other.

    Args:
        sigmas: standard deviations above the mean from which a step is an outlier; 0 = only what
            is not finite is left out.
    """

    def __init__(self, sigmas: float, device: torch.device) -> None:
        self._sigmas = sigmas
        kind = devices.widest(device)
        self._window = torch.zeros(2, WINDOW, dtype=kind, device=device)
        self._unlimited = torch.full((2,), float("inf"), dtype=kind, device=device)
        self._seen = torch.zeros((), dtype=torch.int64, device=device)
        self._places = torch.arange(WINDOW, device=device)

    @torch.no_grad()
    def judge(self, loss: Tensor, norm: Tensor) -> Verdict:
        """The verdict on a step with this loss and gradient norm, both ()."""
        figures = torch.stack((loss.to(self._window.dtype), norm.to(self._window.dtype)))
        finite = figures.isfinite().all()
        if not self._sigmas:
            return Verdict(~finite, self._unlimited)
        known = self._places < self._seen
        count = known.sum().clamp(min=1)
        mean = (self._window * known).sum(1) / count
        squares = ((self._window - mean[:, None]) * known).square().sum(1)
        limits = mean + self._sigmas * (squares / count).sqrt()
        limits = torch.where(self._seen < MINIMUM, self._unlimited, limits)
        entered = torch.minimum(figures, limits)[:, None]
        here = (self._places == self._seen % WINDOW) & finite
        self._window = torch.where(here, entered, self._window)
        self._seen = self._seen + finite
        return Verdict(~finite | (figures > limits).any(), limits)

    def state(self) -> dict[str, Any]:
        """What the next verdicts depend on, for a checkpoint."""
        return {"window": self._window.tolist(), "seen": int(self._seen)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from there; from the beginning where it is empty."""
        window = state.get("window") or [[0.0] * WINDOW] * 2
        self._window = torch.as_tensor(window, dtype=self._window.dtype, device=self._window.device)
        self._seen = torch.full_like(self._seen, state.get("seen", 0))
