"""One process that has the whole model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.training.distributed import Processes
from llm.training.gradient_norms import gradient_norms
from llm.training.muon import ALONE
from llm.training.strategy import Outcome


class Single:
    """See `Strategy`."""

    name = "single"
    orthogonaliser = ALONE

    def __init__(self, device: torch.device, processes: Processes) -> None:
        self.processes = processes
        self._device = device

    def wrap(self, model: Transformer) -> Transformer:
        return model.to(self._device)

    def adopt(self, model: Transformer, optimisers: list[Optimizer]) -> list[Optimizer]:
        return optimisers

    def dropping(self, stop: StopRequest) -> AbstractContextManager[None]:
        return stop.may_drop()

    def check(self, stop: StopRequest) -> None:
        stop.check()

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """They are what they are."""

    def settle(self, model: Transformer, outcome: Outcome) -> Outcome:
        return Outcome(self.processes.highest(outcome))

    def norms(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        return gradient_norms(parameters)

    def clip(self, parameters: Sequence[nn.Parameter], largest: float, norm: Tensor) -> None:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)

    def clear(self, model: Transformer) -> None:
        model.zero_grad(set_to_none=True)

    def recover(self, model: Transformer) -> None:
        self.clear(model)

    def whole(self, model: Transformer) -> Transformer | None:
        return model if self.processes.first else None
