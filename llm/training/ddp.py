"""Several processes, each with the whole model: gradients are added up during the backward pass.

PyTorch's DistributedDataParallel would do so within `forward`, and hang where one process runs out
of memory in the middle: the others wait for the rest of its gradients. Here `reduce` sends them,
whatever they are, and then all agree that the batch is done again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn

from llm.model.transformer import Transformer
from llm.process.parent import Interrupted, StopRequest
from llm.training.distributed import Processes
from llm.training.single_process import Single

# Bytes of gradients that are sent together: enough to use a network, and the last one short.
_BUCKET = 25 << 20


class Ddp(Single):
    """See `Strategy`."""

    name = "ddp"

    def __init__(self, device: torch.device, processes: Processes) -> None:
        super().__init__(device, processes)
        self._buckets = _Buckets([])

    def wrap(self, model: Transformer) -> Transformer:
        placed = super().wrap(model)
        self._buckets = _Buckets(placed.parameters())
        return placed

    def dropping(self, stop: StopRequest) -> AbstractContextManager[None]:
        return nullcontext()  # a signal in the middle of a reduction would leave it half begun

    def check(self, stop: StopRequest) -> None:
        if stop.requested:
            raise Interrupted

    def backward(self, loss: Tensor, last: bool) -> None:
        self._buckets.open = last
        super().backward(loss, last)

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        self._buckets.finish()

    def clear(self, model: Transformer) -> None:
        self._buckets.clear()


class _Buckets:
    """Gradients side by side in buffers, each of which is reduced once all of it is there.

    Attributes:
        open: whether gradients that arrive now are the last ones of the batch.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.open = False
        self._members: list[list[nn.Parameter]] = []
        size = _BUCKET
        # The last parameters' gradients come first.
        for parameter in reversed(list(parameters)):
            if size >= _BUCKET:
                self._members.append([])
                size = 0
            self._members[-1].append(parameter)
            size += parameter.numel() * parameter.element_size()
            parameter.register_post_accumulate_grad_hook(self._arrive)  # type: ignore[no-untyped-call]
        self._bucket = {p: number for number, held in enumerate(self._members) for p in held}
        self._buffers = [
            held[0].new_zeros(sum(p.numel() for p in held), requires_grad=False)
            for held in self._members
        ]
        self._works: list[dist.Work] = []
        self.clear()

    def clear(self) -> None:
        """All gradients zero, in their places."""
        self._missing = [len(held) for held in self._members]
        for held, buffer in zip(self._members, self._buffers, strict=True):
            buffer.zero_()
            start = 0
            for parameter in held:
                parameter.grad = buffer[start : start + parameter.numel()].view_as(parameter)
                start += parameter.numel()

    def finish(self) -> None:
        """Send what was not sent, and wait for all sums."""
        self.open = False
        while len(self._works) < len(self._buffers):
            self._send()
        for work in self._works:
            work.wait()
        self._works.clear()

    def _arrive(self, parameter: Tensor) -> None:
        if not self.open:
            return
        self._missing[self._bucket[parameter]] -= 1  # type: ignore[index]
        # In one order in all processes, whichever is whole first.
        while len(self._works) < len(self._buffers) and not self._missing[len(self._works)]:
            self._send()

    def _send(self) -> None:
        work = dist.all_reduce(self._buffers[len(self._works)], async_op=True)
        assert work is not None
        self._works.append(work)
