"""Several processes, each with the whole model: gradients are added up after the batch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from llm.training.parallel.single import Single


class Summed(Single):
    """See `Strategy`."""

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """In one flat buffer."""
        gradients = []
        for parameter in parameters:
            if parameter.grad is None:  # fewer rows than processes: this one had none
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        flat = self.processes.total(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
